"""The classifier: BERT over packed rows, and a decoder; which of its layers are trained."""

import math
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.data import sources
from lib.data.batches import Batch
from lib.errors import StudyError
from lib.method.decoder import DECODERS, Dropout, drop
from lib.protocol import Protocol


class Encoder(nn.Module):
    """A pre-trained BERT. Rows are packed end to end, so that no layer ever works on padding.

    The weights live in a transformers `BertModel`; only the forward pass is written here, so that it can stop and
    start at any layer. Equal to `BertModel.forward` on every real token.
    """

    def __init__(self, bert, precision: str = "float32"):
        super().__init__()
        replace_dropout(bert)
        self.bert = bert
        self.precision = precision
        self.width = bert.config.hidden_size
        self.heads = bert.config.num_attention_heads

    @property
    def layers(self) -> nn.ModuleList:
        return self.bert.encoder.layer

    def embed(self, batch: Batch) -> Tensor:
        """→ hidden_TH, the input of layer 0."""
        embeddings = self.bert.embeddings
        hidden_TH = (
            F.embedding(batch.tokens_T, embeddings.word_embeddings.weight)
            + embeddings.token_type_embeddings(batch.segments_T)
            + embeddings.position_embeddings(batch.positions_T)
        )
        return embeddings.dropout(embeddings.LayerNorm(hidden_TH))

    def run_layers(self, hidden_TH: Tensor, batch: Batch, first: int = 0, last: int | None = None) -> Tensor:
        """Layers [first, last) of the encoder: hidden_TH → hidden_TH, float32."""
        with torch.autocast(hidden_TH.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            for layer in self.layers[first:last]:
                attended_TH = self._attend(layer.attention.self, hidden_TH, batch)
                hidden_TH = layer.attention.output(attended_TH, hidden_TH)
                hidden_TH = layer.output(layer.intermediate(hidden_TH), hidden_TH)
        return hidden_TH.float()

    def _attend(self, attention, hidden_TH: Tensor, batch: Batch) -> Tensor:
        projections = attention.query, attention.key, attention.value
        weight = torch.cat([p.weight for p in projections])
        bias = torch.cat([p.bias for p in projections])
        qkv = batch.side_by_side(F.linear(hidden_TH, weight, bias))
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each B × heads × longest × width
        if attention.training and attention.dropout.p and q.device.type == "cpu":
            attended = _attend_with_dropout(q, k, v, batch.mask, attention.dropout.p)
        else:
            dropout = attention.dropout.p if attention.training else 0.0
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=batch.mask, dropout_p=dropout)
        return batch.end_to_end(attended.transpose(1, 2).flatten(2))

    @contextmanager
    def cast(self):
        """Inside, for inference: the layers' matrices are in `precision`. Autocast would cast them for every batch."""
        matrices = [p for p in self.layers.parameters() if p.ndim == 2] if self.precision == "bfloat16" else []
        exact = [p.data for p in matrices]
        try:
            for p in matrices:
                p.data = p.data.bfloat16()
            yield
        finally:
            for p, data in zip(matrices, exact, strict=True):
                p.data = data

    def forward(self, batch: Batch) -> Tensor:
        """→ hidden_TH, the last hidden state of every token."""
        return self.run_layers(self.embed(batch), batch)


def _attend_with_dropout(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    """Scaled dot-product attention with dropout of its probabilities; on a CPU torch does the same, slower."""
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return drop(scores.softmax(-1), rate) @ v


class Classifier(nn.Module):
    """Encoder and decoder. The decoder's `features` are what lies below the first MC dropout of a stochastic pass."""

    def __init__(self, encoder: Encoder, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def encode(self, batch: Batch, hidden_TH: Tensor | None = None, first: int = 0) -> Tensor:
        """→ hidden_TH of the last layer. hidden_TH, if given, is the input of layer `first`."""
        hidden_TH = self.encoder.embed(batch) if hidden_TH is None else hidden_TH
        return self.encoder.run_layers(hidden_TH, batch, first)

    def forward(self, batch: Batch, hidden_TH: Tensor | None = None, first: int = 0) -> Tensor:
        """→ logits_NC. hidden_TH, if given, is the input of layer `first`."""
        return self.decoder(self.decoder.features(self.encode(batch, hidden_TH, first), batch))


def build_classifier(protocol: Protocol, num_labels: int) -> Classifier:
    """θ_0: the pre-trained encoder and a decoder initialised from the run's seed; layers frozen as F says.

    Raises StudyError if the checkpoint is not a BERT in safetensors, has fewer layers than F or fewer positions than
    max_length.
    """
    bert = _load_bert(protocol.encoder)
    positions = bert.config.max_position_embeddings
    if protocol.max_length > positions:
        raise StudyError(f"max_length={protocol.max_length} is beyond the encoder's {positions} positions: lower it")
    encoder = Encoder(bert, protocol.on_this_machine().precision)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(protocol.torch_seed("decoder"))
        decoder = DECODERS[protocol.decoder](protocol, encoder.width, num_labels)
    classifier = Classifier(encoder, decoder)
    freeze_layers(classifier, protocol.frozen)
    return classifier.eval()


def outline(protocol: Protocol, num_labels: int) -> Classifier:
    """The classifier as `build_classifier` makes it, without its weights: shapes alone, on torch's meta device."""
    from transformers import BertConfig, BertModel

    config = BertConfig.from_pretrained(sources.checkpoint(protocol.encoder))
    with torch.device("meta"):
        encoder = Encoder(BertModel(config, add_pooling_layer=False))
        return Classifier(encoder, DECODERS[protocol.decoder](protocol, encoder.width, num_labels))


def _load_bert(name: str):
    import transformers

    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()  # pooler and pre-training heads are left out on purpose
    folder = sources.checkpoint(name)
    try:
        bert, found = transformers.BertModel.from_pretrained(
            folder,
            add_pooling_layer=False,
            use_safetensors=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:
        cause = str(error).strip().partition("\n")[0]
        raise StudyError(f"encoder={name!r}: its safetensors cannot be read ({cause}): fetch it again") from error
    # transformers would go on with random weights in their place
    unfit = sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])})
    if unfit:
        raise StudyError(
            f"encoder={name!r} has no weights, or of another shape, for {unfit[0]} ({len(unfit)} in all): "
            "give a checkpoint that fits its config.json"
        )
    return bert


def freeze_layers(classifier: Classifier, frozen: int) -> None:
    """Exclude encoder layers from training (section 2.3).

    frozen: F > 0 freezes layers [0, F) and the embeddings below them, F < 0 the last -F layers, 0 nothing. The
    decoder is always trained. Raises StudyError if |F| is more than the number of layers.
    """
    layers = len(classifier.encoder.layers)
    if not -layers <= frozen <= layers:
        raise StudyError(f"frozen={frozen} is beyond the encoder's {layers} layers: choose {-layers} to {layers}")
    classifier.requires_grad_(True)
    for part in frozen_parts(classifier.encoder, frozen):
        part.requires_grad_(False)


def frozen_parts(encoder: Encoder, frozen: int) -> list[nn.Module]:
    """What F = `frozen` excludes from training."""
    if frozen > 0:
        return [encoder.bert.embeddings, *encoder.layers[:frozen]]
    return list(encoder.layers[len(encoder.layers) + frozen :])


def replace_dropout(module: nn.Module) -> None:
    """Every nn.Dropout inside draws its numbers as `drop` does."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout:
            setattr(module, name, Dropout(child.p))
        else:
            replace_dropout(child)
