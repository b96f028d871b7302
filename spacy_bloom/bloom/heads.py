"""BLOOM with a head."""

from typing import Any

import torch
from torch import Tensor, nn

from ..config import BloomConfig
from ..errors import InputError
from .arguments import take_num_items
from .generation_inputs import prepare_inputs
from .lm_head import LinearLMHead, LMHead
from .model import BloomModel
from .outputs import (
    CausalLMOutputWithCrossAttentions,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutputWithPast,
    TokenClassifierOutput,
)
from .pretrained_model import BloomPreTrainedModel, draw_normal
from .task_losses import answer_loss, check_labels, label_loss, piece_label_loss


class BloomLanguageModel(BloomPreTrainedModel):
    """BLOOM with the language-modelling head, by default the embedding matrix itself. See `BloomForCausalLM`, which can
    generate.

    config (BloomConfig): The geometry.
    lm_head (LMHead): The head; another one may take its place.
    """

    _built_with = (*BloomPreTrainedModel._built_with, "tie_word_embeddings")

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        head = LinearLMHead(config.hidden_size, config.vocab_size)
        draw_normal(head.weight, config.initializer_range)
        self.lm_head: LMHead = head
        self.tie_weights()

    def get_output_embeddings(self) -> LMHead:
        """RETURNS (LMHead): The head."""
        return self.lm_head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Put another head in its place.

        new_embeddings (Module): An LMHead, or torch's Linear without bias, whose weight is taken.
        RAISES (InputError): It is something else.
        """
        if isinstance(new_embeddings, LMHead):
            self.lm_head = new_embeddings
        elif isinstance(new_embeddings, nn.Linear) and new_embeddings.bias is None:
            head = LinearLMHead(new_embeddings.in_features, new_embeddings.out_features)
            head.weight = new_embeddings.weight
            self.lm_head = head
        else:
            raise InputError(
                f"Expected an LMHead or a Linear without bias as the head, got {type(new_embeddings).__name__}."
            )

    def prepare_inputs_for_generation(self, input_ids: Tensor, **options: Any) -> dict[str, Any]:
        """See `prepare_inputs`."""
        return prepare_inputs(input_ids, **options)

    def tie_weights(self) -> None:
        """Make the LM head the embedding matrix, if the config says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.tie(self.transformer.word_embeddings)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        head_mask: None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        cache_position: Tensor | None = None,
        **deprecated_arguments: Any,
    ) -> CausalLMOutputWithCrossAttentions | tuple[Any, ...]:
        """
        labels (Tensor | None): Usually input_ids; shifted here. -100 is ignored. Shape (batch, length).
        Others: As for BloomModel, and num_items_in_batch: the loss is the sum divided by it, instead of the mean.
        RETURNS (CausalLMOutputWithCrossAttentions): Logits, and the loss if there are labels.
        """
        items = take_num_items(deprecated_arguments)
        output = self.transformer(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            cache_position=cache_position,
        )
        logits = self.lm_head(output.last_hidden_state)
        loss = None
        if labels is not None:
            check_labels(labels, logits)
            loss = self.loss_function(
                logits, labels, vocab_size=self.config.vocab_size, num_items_in_batch=items
            )
        result = CausalLMOutputWithCrossAttentions(
            loss, logits, output.past_key_values, output.hidden_states, output.attentions
        )
        return result if self._wants_dict(return_dict) else result.to_tuple()


class BloomForTokenClassification(BloomPreTrainedModel):
    """BLOOM with a linear classifier on every piece.

    config (BloomConfig): The geometry; id2label names the labels.
    """

    _built_with = (*BloomPreTrainedModel._built_with, "num_labels", "classifier_dropout")
    _task_loss = staticmethod(piece_label_loss)

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        rate = config.hidden_dropout if config.classifier_dropout is None else config.classifier_dropout
        self.dropout = nn.Dropout(rate)
        self.num_labels = config.num_labels
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        draw_normal(self.classifier.weight, config.initializer_range)
        nn.init.zeros_(self.classifier.bias)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        head_mask: None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **deprecated_arguments: Any,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """
        labels (Tensor | None): One per piece, -100 is ignored. Shape (batch, length).
        Others: As for BloomModel, and num_items_in_batch: the loss is the sum divided by it, instead of the mean.
        RETURNS (TokenClassifierOutput): Logits, and the loss if there are labels.
        """
        items = take_num_items(deprecated_arguments)
        output = self.transformer(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.classifier(self.dropout(output.last_hidden_state))
        loss = None
        if labels is not None:
            check_labels(labels, logits)
            loss = piece_label_loss(logits, labels, num_items_in_batch=items)
        result = TokenClassifierOutput(loss, logits, output.hidden_states, output.attentions)
        return result if self._wants_dict(return_dict) else result.to_tuple()


class BloomForSequenceClassification(BloomPreTrainedModel):
    """BLOOM with a linear classifier on the last real piece of each row, which has seen all of it.

    config (BloomConfig): The geometry; id2label names the labels, problem_type the loss: "regression",
        "single_label_classification" or "multi_label_classification". Without one it is told from the labels,
        as in Hugging Face: regression for one label, else single-label for integers, multi-label for floats. The
        config keeps what was told.
    """

    _built_with = (*BloomPreTrainedModel._built_with, "num_labels")
    _task_loss = staticmethod(label_loss)

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        self.num_labels = config.num_labels
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        draw_normal(self.score.weight, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor | None = None,
        past_key_values: Any = None,
        attention_mask: Tensor | None = None,
        head_mask: None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **deprecated_arguments: Any,
    ) -> SequenceClassifierOutputWithPast | tuple[Any, ...]:
        """
        attention_mask (Tensor | None): Says which pieces are real; without one, all but the config's pad_token_id.
            Shape (batch, past + length).
        labels (Tensor | None): Ids of shape (batch,), or for regression and multi-label floats of shape
            (batch, num_labels); a single target may also be of shape (batch,).
        Others: As for BloomModel, and num_items_in_batch: the loss is the sum divided by it, instead of the mean.
        RETURNS (SequenceClassifierOutputWithPast): Logits, and the loss if there are labels.
        """
        items = take_num_items(deprecated_arguments)
        output = self.transformer(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        hidden = output.last_hidden_state
        rows = torch.arange(hidden.shape[0], device=hidden.device)
        last = self._last_real(input_ids, attention_mask, hidden)
        logits = self.score(hidden[rows, last])
        loss = None if labels is None else label_loss(labels, logits, self.config, items)
        result = SequenceClassifierOutputWithPast(
            loss, logits, output.past_key_values, output.hidden_states, output.attentions
        )
        return result if self._wants_dict(return_dict) else result.to_tuple()

    def _last_real(self, input_ids: Tensor | None, mask: Tensor | None, hidden: Tensor) -> Tensor:
        """RETURNS (Tensor): Place of the last real piece of each row, 0 if there is none. Shape (batch,)."""
        length = hidden.shape[1]
        pad = self.config.pad_token_id
        if mask is not None:
            real = mask[:, -length:] != 0
        elif input_ids is not None and pad is not None:
            real = input_ids != pad
        else:
            real = torch.ones(hidden.shape[:2], dtype=torch.bool)
        places = torch.arange(length, device=hidden.device)
        return (places * real.to(hidden.device)).argmax(dim=-1)


class BloomForQuestionAnswering(BloomPreTrainedModel):
    """BLOOM with two scores on every piece: that an answer starts with it, and that one ends with it.

    config (BloomConfig): The geometry.
    """

    _task_loss = staticmethod(answer_loss)

    def __init__(self, config: BloomConfig) -> None:
        super().__init__(config)
        self.transformer = BloomModel(config)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        draw_normal(self.qa_outputs.weight, config.initializer_range)
        nn.init.zeros_(self.qa_outputs.bias)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        head_mask: None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        *,
        past_key_values: Any = None,
    ) -> QuestionAnsweringModelOutput | tuple[Any, ...]:
        """
        position_ids (Tensor | None): Not used; a warning says so.
        start_positions, end_positions (Tensor | None): First and last piece of the answer; rows whose answer lies
            beyond the pieces are left out of the loss. Shape (batch,) or (batch, 1).
        past_key_values (Any): Of an earlier call of any of the classes; a cache of the caller's grows in place.
        Others: As for BloomModel.
        RETURNS (QuestionAnsweringModelOutput): Logits, and the loss if there are positions.
        """
        if (start_positions is None) != (end_positions is None):
            raise InputError("Expected start_positions and end_positions together, got one of them.")
        further = {} if position_ids is None else {"position_ids": position_ids}
        output = self.transformer(
            input_ids,
            past_key_values=past_key_values,
            attention_mask=attention_mask,
            head_mask=head_mask,
            inputs_embeds=inputs_embeds,
            use_cache=False,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            return_dict=True,
            **further,
        )
        start, end = self.qa_outputs(output.last_hidden_state).unbind(dim=-1)  # 2 x (batch, length)
        loss = answer_loss(start, end, start_positions, end_positions)
        result = QuestionAnsweringModelOutput(loss, start, end, output.hidden_states, output.attentions)
        return result if self._wants_dict(return_dict) else result.to_tuple()
