"""Settings of the question answerer."""

from dataclasses import dataclass, field

from ...settings import PositiveInt, check_settings


@dataclass(frozen=True, kw_only=True)
class QuestionAnswererSettings:
    """What a question answerer is asked, and which answers it gives.

    questions (list[str]): Questions for Docs that have none of their own.
    spans_key (str): Where gold answers are read and answers are written.
    n_best (int): Maximum number of answers to a question.
    no_answer_threshold (float | None): Minimum score of the best answer; below it, there is no answer. A score is the
        answer's logits minus those of "no answer", in nats: 0 takes the more probable of the two. None always
        answers.
    max_answer_tokens (int): Maximum length of an answer in tokens.
    separator (str): Text between question and Doc. Control tokens in it are used as such.
    max_batch_items (int): Budget of a packed batch in pieces, in training too. A longer window is a batch of its own.
    checkpoint (str | None): A Hugging Face question-answering checkpoint to take BLOOM and the head from, instead of
        the model's name.
    RAISES (ConfigError): A setting has a wrong value.
    """

    questions: list[str] = field(default_factory=list)
    spans_key: str = "answers"
    n_best: PositiveInt = 1
    no_answer_threshold: float | None = None
    max_answer_tokens: PositiveInt = 30
    separator: str = "\n"
    max_batch_items: PositiveInt = 1024
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        check_settings(self, "bloom_question_answerer")
        object.__setattr__(self, "questions", list(dict.fromkeys(self.questions)))
