"""The quality network: how much of a person's identity an aligned face shows, and whether something covers it."""

import numpy as np
import torch
from torch import nn

SIDE = 112
MEAN, SCALE = 128.0, 1 / 128
TEACHERS = 2


def convolution(inputs, outputs, stride):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class QualityNetwork(nn.Module):
    """N x 3 x 112 x 112 to N x 3: for each of two teachers the expected cosine between its embeddings of this face and of the
    undegraded one, and the logit that something covers the face. 24 million multiply-adds."""

    def __init__(self):
        super().__init__()
        widths = [(3, 16, 2), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 96, 2), (96, 96, 1)]
        self.maps = nn.Sequential(*(convolution(*each) for each in widths))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(96 * 49, 64), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(64, TEACHERS))
        self.cover = nn.Sequential(nn.Flatten(), nn.Linear(96 * 49, 32), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(32, 1))

    def forward(self, x):
        maps = self.maps(x)
        # A cover is only named; it has no part in what the maps learn.
        return torch.cat([self.head(maps), self.cover(maps.detach())], 1)


class Exported(nn.Module):
    """The same with two outputs: the mean expected cosine, and the probability that the face is covered."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        said = self.network(x)
        return torch.cat([said[:, :TEACHERS].mean(1, keepdim=True), torch.sigmoid(said[:, TEACHERS:])], 1)


def network_input(faces):
    """N x 3 x 112 x 112 floats of N x 112 x 112 x 3 RGB."""
    return ((faces.astype(np.float32) - MEAN) * np.float32(SCALE)).transpose(0, 3, 1, 2)
