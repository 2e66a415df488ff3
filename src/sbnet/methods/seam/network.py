"""SEAM's network (Wang et al., CVPR 2020): a CAM network with pixel correlation."""

from sbnet.methods.cam.network import CamNetwork


class SeamNetwork(CamNetwork):
    family = "seam"
    correlation = True
