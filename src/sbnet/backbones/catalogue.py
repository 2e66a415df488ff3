"""The backbones by name, for lists. Imports no PyTorch."""

IN_PACKAGE, FROM_FILE = "ImageNet's, installed with sbnet", "none; give weights=file:PATH"

BACKBONES = {
    "lite0": ("EfficientNet-Lite0", IN_PACKAGE),
    "lite2": ("EfficientNet-Lite2", IN_PACKAGE),
    "resnet38": ("ResNet-38 of the published CAM methods", FROM_FILE),
    "resnet101": ("ResNet-101 of DeepLab v2, for segmenters", FROM_FILE),
    "timm:NAME": ("a CNN or vision transformer of timm", "downloaded by timm, or weights=file:PATH"),
}
"""Name -> what it is, where its weights come from."""
