"""The classifier: BERT over packed rows, a CNN or linear decoder, and dropout whose masks can be given."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib import sources
from lib.protocol import Protocol, StudyError
from lib.rows import Batch

HEIGHTS = (3, 4, 5)  # of the convolutional filters, in tokens


class Encoder(nn.Module):
    """A pre-trained BERT. Rows are packed end to end, so that no layer ever works on padding.

    The weights live in a transformers `BertModel`; only the forward pass is written here, so that it can stop and
    start at any layer. Equal to `BertModel.forward` on every real token.
    """

    def __init__(self, bert, precision: str = "float32"):
        super().__init__()
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
        padding = Padding(batch)
        with torch.autocast(hidden_TH.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            for layer in self.layers[first:last]:
                attended_TH = self._attend(layer.attention.self, hidden_TH, padding)
                hidden_TH = layer.attention.output(attended_TH, hidden_TH)
                hidden_TH = layer.output(layer.intermediate(hidden_TH), hidden_TH)
        return hidden_TH.float()

    def _attend(self, attention, hidden_TH: Tensor, padding: "Padding") -> Tensor:
        projections = attention.query, attention.key, attention.value
        weight = torch.cat([p.weight for p in projections])
        bias = torch.cat([p.bias for p in projections])
        qkv = padding.add(F.linear(hidden_TH, weight, bias))
        q, k, v = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each B × heads × longest × width
        dropout = attention.dropout.p if attention.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=padding.mask, dropout_p=dropout)
        return padding.remove(attended.transpose(1, 2).flatten(2))

    def forward(self, batch: Batch) -> Tensor:
        """→ hidden_TH, the last hidden state of every token."""
        return self.run_layers(self.embed(batch), batch)


class Padding:
    """Rows of a batch side by side for attention, the only place where tokens of one row meet."""

    def __init__(self, batch: Batch):
        self.rows, self.longest = len(batch.lengths), int(batch.lengths.max())
        self.mask = self.places_T = None
        if (batch.lengths != self.longest).any():
            device = batch.tokens_T.device
            lengths_B = torch.from_numpy(batch.lengths).to(device)
            row_T = torch.repeat_interleave(torch.arange(self.rows, device=device), lengths_B)
            self.places_T = row_T * self.longest + batch.positions_T
            self.mask = (torch.arange(self.longest, device=device) < lengths_B[:, None])[:, None, None]

    def add(self, packed_TX: Tensor) -> Tensor:
        """T × X → B × longest × X, zeros where a row has ended."""
        if self.places_T is not None:
            empty = packed_TX.new_zeros(self.rows * self.longest, packed_TX.shape[1])
            packed_TX = empty.index_copy(0, self.places_T, packed_TX)
        return packed_TX.view(self.rows, self.longest, -1)

    def remove(self, padded_BLX: Tensor) -> Tensor:
        packed = padded_BLX.flatten(0, 1)
        return packed if self.places_T is None else packed.index_select(0, self.places_T)


class MCDropout(nn.Module):
    """Dropout that a stochastic pass keeps on (Gal and Ghahramani 2016).

    Training draws a mask for every row. A stochastic pass is given its masks, masks_SW: pass s uses mask s for every
    row, which makes it one concrete model ω_s. Otherwise nothing is dropped.
    """

    def __init__(self, width: int, rate: float):
        super().__init__()
        self.width, self.rate = width, rate

    def draw(self, samples: int, generator: torch.Generator) -> Tensor:
        """masks_SW: 0 with probability `rate`, else 1 / (1 - rate); float32 on the CPU."""
        kept = torch.rand(samples, self.width, generator=generator) >= self.rate
        return kept.float() / (1 - self.rate)

    def forward(self, input_NW: Tensor) -> Tensor:
        return F.dropout(input_NW, self.rate, self.training)


class LinearDecoder(nn.Module):
    """Devlin et al. (2019): dropout and one layer on the last hidden state of [CLS]."""

    def __init__(self, protocol: Protocol, width: int, num_labels: int):
        super().__init__()
        self.dropout = MCDropout(width, protocol.dropout)
        self.output = nn.Linear(width, num_labels)
        self.mc_dropouts = ("dropout",)

    def stages(self) -> list[dict[str, nn.Module | None]]:
        """What happens to a row, step by step, names and modules: for Figure 1."""
        return [{"last hidden state of [CLS]": None}, {"dropout": self.dropout}, {"output layer": self.output}]

    def features(self, hidden_TH: Tensor, batch: Batch) -> Tensor:
        return hidden_TH[batch.starts_B]

    def forward(self, features_NF: Tensor) -> Tensor:
        return self.output(self.dropout(features_NF))

    def stochastic(self, features_NF: Tensor, masks: dict[str, Tensor]) -> Tensor:
        weights_SCF = self.output.weight * masks["dropout"][:, None]
        return torch.einsum("nf,scf->snc", features_NF, weights_SCF) + self.output.bias


class CNNDecoder(nn.Module):
    """Kim (2014) over all hidden states of the last layer, as the paper's section 2.1 describes it.

    Filters of height 3, 4 and 5 → batch norm → ReLU → dropout → maximum over time → hidden layer → output layer, with
    dropout on the input of both layers. A window lies inside its row; a row with fewer tokens than the widest filter
    is extended with zeros to that height. The dropout of the feature maps drops whole maps: dropped after the
    maximum, which gives the same numbers, it has one mask whatever a row's length.
    """

    def __init__(self, protocol: Protocol, width: int, num_labels: int):
        super().__init__()
        maps, total = protocol.maps, protocol.maps * len(HEIGHTS)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, maps, height) for height in HEIGHTS)
        self.norms = nn.ModuleList(nn.BatchNorm1d(maps, momentum=None) for _ in HEIGHTS)
        self.map_dropout = MCDropout(total, protocol.dropout)
        self.hidden_dropout = MCDropout(total, protocol.dropout)
        self.hidden = nn.Linear(total, protocol.hidden)
        self.output_dropout = MCDropout(protocol.hidden, protocol.dropout)
        self.output = nn.Linear(protocol.hidden, num_labels)
        every = ("map_dropout", "hidden_dropout", "output_dropout")
        self.mc_dropouts = every if protocol.mc_dropout == "decoder" else ("hidden_dropout",)

    def stages(self) -> list[dict[str, nn.Module | None]]:
        """What happens to a row, step by step, names and modules (side by side if parallel): for Figure 1."""
        return [
            {f"convolution {height}": layer for height, layer in zip(HEIGHTS, self.convolutions, strict=True)},
            {"batch norm, ReLU": self.norms},
            {"maximum over time": None},
            {"dropout of maps": self.map_dropout},
            {"dropout": self.hidden_dropout},
            {"hidden layer, ReLU": self.hidden},
            {"dropout": self.output_dropout},
            {"output layer": self.output},
        ]

    def features(self, hidden_TH: Tensor, batch: Batch) -> Tensor:
        """→ features_NF, the maximum of each feature map over the windows of each row."""
        hidden_TH, lengths = _at_least(max(HEIGHTS), hidden_TH, batch)
        maxima = []
        for height, convolution, norm in zip(HEIGHTS, self.convolutions, self.norms, strict=True):
            maps_WM = _inside_rows(convolution(hidden_TH.T[None])[0].T, lengths, height)
            maxima.append(_maximum_over_time(F.relu(norm(maps_WM)), lengths - height + 1))
        return torch.cat(maxima, 1)

    def forward(self, features_NF: Tensor) -> Tensor:
        features_NF = self.hidden_dropout(self.map_dropout(features_NF))
        return self.output(self.output_dropout(F.relu(self.hidden(features_NF))))

    def stochastic(self, features_NF: Tensor, masks: dict[str, Tensor]) -> Tensor:
        mask_SF = masks["hidden_dropout"]
        if "map_dropout" in masks:
            mask_SF = mask_SF * masks["map_dropout"]
        # a mask on a layer's input is a mask on the columns of its weights: one product serves all passes
        weights_SHF = self.hidden.weight * mask_SF[:, None]
        hidden_NSH = F.linear(features_NF, weights_SHF.flatten(0, 1)).unflatten(1, (len(mask_SF), -1))
        hidden_NSH = F.relu(hidden_NSH + self.hidden.bias)
        if "output_dropout" in masks:
            hidden_NSH = hidden_NSH * masks["output_dropout"]
        return self.output(hidden_NSH).transpose(0, 1)


def _at_least(height: int, hidden_TH: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Extend rows of fewer than `height` tokens with zeros. → hidden_TH, lengths_B"""
    lengths_B = torch.from_numpy(batch.lengths).to(hidden_TH.device)
    if batch.lengths.min() >= height:
        return hidden_TH, lengths_B
    extended_B = lengths_B.clamp(min=height)
    starts_B = extended_B.cumsum(0) - extended_B
    places_T = torch.repeat_interleave(starts_B, lengths_B) + batch.positions_T
    zeros = hidden_TH.new_zeros(int(extended_B.sum()), hidden_TH.shape[1])
    return zeros.index_copy(0, places_T, hidden_TH), extended_B


def _inside_rows(windows_WM: Tensor, lengths_B: Tensor, height: int) -> Tensor:
    """Of all windows over the packed rows, those that do not reach into the next row."""
    ends_B = lengths_B.cumsum(0)
    start = torch.arange(len(windows_WM), device=windows_WM.device)
    end_of_row = torch.repeat_interleave(ends_B, lengths_B)[: len(windows_WM)]
    return windows_WM[start + height <= end_of_row]


def _maximum_over_time(maps_WM: Tensor, windows_B: Tensor) -> Tensor:
    """Maximum of nonnegative maps over each row's windows: W × M → B × M."""
    row_W = torch.repeat_interleave(torch.arange(len(windows_B), device=maps_WM.device), windows_B)
    place_W = torch.arange(len(row_W), device=maps_WM.device) - (windows_B.cumsum(0) - windows_B)[row_W]
    longest = int(windows_B.max())
    padded = maps_WM.new_zeros(len(windows_B) * longest, maps_WM.shape[1])
    padded = padded.index_copy(0, row_W * longest + place_W, maps_WM)
    return padded.view(len(windows_B), longest, -1).amax(1)


DECODERS = {"cnn": CNNDecoder, "linear": LinearDecoder}


class Classifier(nn.Module):
    """Encoder and decoder. `features` is the part below the first MC dropout, `decoder` what follows."""

    def __init__(self, encoder: Encoder, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def features(self, batch: Batch, hidden_TH: Tensor | None = None, first: int = 0) -> Tensor:
        """→ features_NF. hidden_TH, if given, is the input of layer `first`."""
        hidden_TH = self.encoder.embed(batch) if hidden_TH is None else hidden_TH
        return self.decoder.features(self.encoder.run_layers(hidden_TH, batch, first), batch)

    def forward(self, batch: Batch, hidden_TH: Tensor | None = None, first: int = 0) -> Tensor:
        """→ logits_NC. hidden_TH, if given, is the input of layer `first`."""
        return self.decoder(self.features(batch, hidden_TH, first))


def build_classifier(protocol: Protocol, num_labels: int) -> Classifier:
    """θ_0: the pre-trained encoder and a decoder initialised from the run's seed; layers frozen as F says.

    Raises StudyError if the checkpoint is not a BERT in safetensors, has fewer layers than F or fewer positions than
    max_length.
    """
    bert = _load_bert(protocol.encoder)
    positions = bert.config.max_position_embeddings
    if protocol.max_length > positions:
        raise StudyError(f"max_length={protocol.max_length} is beyond the encoder's {positions} positions: lower it")
    encoder = Encoder(bert, protocol.precision)
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
