"""What requests and responses hold; OpenAPI describes the service by these models."""

from typing import Annotated, Any, Dict, List, Optional

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ..settings import is_whole


def _whole(text: str) -> str:
    if not is_whole(text):
        raise ValueError("expected text of whole characters, got half of a surrogate pair")
    return text


Text = Annotated[str, AfterValidator(_whole)]


class ProcessRequest(BaseModel):
    """One text or many, and questions about them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"text": "Clara Mendes nasceu em Coimbra.", "questions": ["Onde nasceu Clara Mendes?"]},
                {"texts": ["张伟教授在北京大学工作。", "She lives in London."], "parts": ["annotation"]},
            ]
        },
    )

    text: Optional[Text] = Field(None, description="A text in any language.")
    texts: Optional[List[Text]] = Field(None, min_length=1, description="Many texts, instead of one.")
    questions: List[Text] = Field([], description="Questions about each text.")
    parts: Optional[List[str]] = Field(
        None, min_length=1, description="Parts of the service to use, by name; by default all."
    )

    @model_validator(mode="after")
    def _one_or_many(self) -> "ProcessRequest":
        if (self.text is None) == (self.texts is None):
            raise ValueError("expected either text or texts")
        return self

    @property
    def all_texts(self) -> List[str]:
        """The texts, one or many."""
        return [self.text] if self.text is not None else list(self.texts or [])


class Answer(BaseModel):
    """A span of the text that answers a question; character offsets."""

    text: str
    start: int
    end: int
    score: Optional[float] = Field(None, description="How much better than no answer it is, in nats.")


class Answered(BaseModel):
    """A question and its answers, best first."""

    question: str
    answers: List[Answer]


class Surprise(BaseModel):
    """How surprising a token is; character offsets."""

    start: int
    end: int
    bits: Optional[float] = Field(None, description="Null if nothing stands before the token.")


class Surprisal(BaseModel):
    """How surprising a text is to the language model."""

    tokens: List[Surprise]
    perplexity: Optional[float] = Field(None, description="2 to the mean bits of a piece.")
    bits_per_byte: Optional[float] = None


class ProcessedText(BaseModel):
    """A text and what was found in it, in the order of the request."""

    text: str
    doc: Optional[Dict[str, Any]] = Field(
        None, description="As spaCy's Doc.to_json writes it; Doc(nlp.vocab).from_json reads it."
    )
    answers: Optional[List[Answered]] = None
    continuation: Optional[str] = Field(None, description="Text generated after the text; may be empty.")
    surprisal: Optional[Surprisal] = None
    error: Optional[str] = Field(None, description="Why this text could not be processed; others were.")


class ProcessResponse(BaseModel):
    """The texts of a request, in its order."""

    results: List[ProcessedText]


class Part(BaseModel):
    """A part of the service."""

    name: str
    pipeline: str = Field(
        description="Language, name and version of a pipeline, or the name of a checkpoint."
    )
    components: List[str]
    answers_questions: bool
    quality: str = Field(description="How good it is, by its own account; empty if it has none.")


class Health(BaseModel):
    """Whether the service works."""

    status: str
    version: str
    parts: List[Part]


class Problem(BaseModel):
    """Why a request was refused or failed."""

    detail: str
