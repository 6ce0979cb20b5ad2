"""The presentation-attack network: two crops of a face to the log-odds that it is live."""

import torch
from torch import nn

from pad.crops import Input

GIVEN = Input(side=96, crops=(1.3, 2.8), mean=128.0, scale=1 / 128)
SPECTRUM = 12


def convolution(inputs, outputs, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, channels):
        super().__init__()
        self.inner = nn.Sequential(*convolution(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(x + self.inner(x))


class PadNetwork(nn.Module):
    """N x 6 x 96 x 96 to N x 1; about 235 thousand parameters and 29 million multiply-adds.

    While it trains, `spectrum` predicts the Fourier spectrum of both crops from the maps at 12 x 12, and `opinion` the live scores of both
    MiniFASNets; the exported network has neither.
    """

    def __init__(self):
        super().__init__()
        self.early = nn.Sequential(convolution(6, 24, 2), convolution(24, 32, 2), Residual(32), convolution(32, 64, 2), Residual(64))
        self.late = nn.Sequential(convolution(64, 96, 2), convolution(96, 64))
        # A mean over all places: a head that tells places apart learns the people and rooms of the training by heart.
        self.score = nn.Sequential(nn.AvgPool2d(6), nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 1))
        self.opinion = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(64 * 36, 24), nn.ReLU(inplace=True), nn.Linear(24, 2))
        self.spectrum = nn.Sequential(convolution(64, 32), nn.Conv2d(32, 2, 1))

    def forward(self, x):
        return self.score(self.late(self.early(x)))

    def everything(self, x):
        """The log-odds, the teachers' predicted scores (N x 2), and the predicted spectra (N x 2 x 12 x 12)."""
        maps = self.early(x)
        late = self.late(maps)
        return self.score(late), self.opinion(late), self.spectrum(maps)


def spectra(x):
    """The spectra to predict: of each crop's gray values the logarithm of the magnitude, in 12 x 12 cells, standardized for each photo.

    Columns are frequencies from zero up, rows from negative to positive ones.
    """
    gray = x.reshape(len(x), 2, 3, *x.shape[2:]).mean(2)
    magnitude = torch.log1p(torch.fft.fftshift(torch.fft.rfft2(gray).abs(), dim=2))
    cells = nn.functional.adaptive_avg_pool2d(magnitude, SPECTRUM)
    return (cells - cells.mean((2, 3), keepdim=True)) / (cells.std((2, 3), keepdim=True) + 1e-3)
