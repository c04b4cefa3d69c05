"""Batches cut from images in memory: no loader, no worker, no work per image in Python."""

from collections.abc import Iterator, Mapping

import torch
from torch.nn import functional as F

from optnas.task.data import Images


class Batches:
    """The training images of `images` on a device, shuffled, cropped and flipped a batch at a time.

    One gather does it all: it reads every image at its own offset in the padded original, and backwards where
    it is flipped. Pixels stay uint8 until they are in a batch, and lie channels last, as a batch leaves here.
    """

    def __init__(
        self,
        images: Images,
        *,
        batch_size: int,
        crop_padding: int,
        flip: bool,
        device: torch.device,
        generator: torch.Generator,
    ) -> None:
        _, self._height, self._width = images.input_shape
        self._padding, self._flip, self._generator = crop_padding, flip, generator
        p = crop_padding
        padded = F.pad(images.train_x.to(device), (p, p, p, p)).permute(0, 2, 3, 1).contiguous()
        self._padded_width = padded.shape[2]
        self._stride = padded.shape[1] * padded.shape[2]
        self._pixels = padded.flatten(0, 2)  # (n * padded height * padded width, channels)
        self._labels = images.train_y.to(device)
        self._rows = torch.arange(self._height, device=device)[:, None] * self._padded_width
        self._columns = torch.arange(self._width, device=device)
        self._normalise = Normalise(images, device)
        n = len(self._labels)
        # Batches of nearly equal size leave out no image, and never leave one alone: batch norm needs two.
        self.steps = max(1, min(-(-n // batch_size), n // 2))
        self._begun = generator.get_state()

    def epoch(self, done: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Each training image once: float batches (b, c, h, w), normalised, channels last; labels (b,).

        After `restore`, the first `done` batches are those that were drawn before, and are left out.
        """
        now = self._generator.get_state()
        if done:
            self._generator.set_state(self._begun)
        else:
            self._begun = now
        order = torch.randperm(len(self._labels), generator=self._generator).to(self._labels.device)
        if done:
            self._generator.set_state(now)
        for index in order.tensor_split(self.steps)[done:]:
            yield self._normalise(self._cut(index)), self._labels[index]

    def state(self) -> dict[str, torch.Tensor]:
        """The state of the generator when the epoch began, which gave its order, and now."""
        return {"begun": self._begun, "now": self._generator.get_state()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go back to a `state`."""
        self._begun = state["begun"]
        self._generator.set_state(state["now"])

    def _cut(self, index: torch.Tensor) -> torch.Tensor:
        n = len(index)
        places = index * self._stride
        columns = self._columns.expand(n, -1)
        if self._padding:
            places = places + self._draw(2 * self._padding + 1, n) * self._padded_width
            columns = columns + self._draw(2 * self._padding + 1, n)[:, None]
        if self._flip:
            columns = torch.where(self._draw(2, n)[:, None].bool(), columns.flip(1), columns)
        places = places[:, None, None] + self._rows + columns[:, None, :]
        cut = self._pixels.index_select(0, places.flatten())
        return cut.view(n, self._height, self._width, -1).permute(0, 3, 1, 2)

    def _draw(self, high: int, n: int) -> torch.Tensor:
        return torch.randint(high, (n,), generator=self._generator).to(self._labels.device)


class Normalise:
    """uint8 images (b, c, h, w) to float, minus the mean and over the deviation of the training images."""

    def __init__(self, images: Images, device: torch.device) -> None:
        std = torch.tensor(images.std, device=device).view(1, -1, 1, 1)
        self._scale = 1 / (255 * std)
        self._shift = -torch.tensor(images.mean, device=device).view(1, -1, 1, 1) / std

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(self._shift, x.float(), self._scale).contiguous(memory_format=torch.channels_last)
