# SPDX-License-Identifier: BSD-3-Clause
"""Feature bits of virtio and virtio-net, as linux/virtio_net.h has them."""

import enum


class Feature(enum.IntFlag):
    """What driver and device may agree on."""

    CSUM = 1 << 0
    GUEST_CSUM = 1 << 1
    GUEST_TSO4 = 1 << 7
    GUEST_TSO6 = 1 << 8
    HOST_TSO4 = 1 << 11
    HOST_TSO6 = 1 << 12
    MRG_RXBUF = 1 << 15
    MQ = 1 << 22
    INDIRECT_DESC = 1 << 28
    EVENT_IDX = 1 << 29
    VERSION_1 = 1 << 32
    RING_PACKED = 1 << 34


CHECKSUM = Feature.CSUM | Feature.GUEST_CSUM
SEGMENTATION = (Feature.HOST_TSO4 | Feature.HOST_TSO6 | Feature.GUEST_TSO4 | Feature.GUEST_TSO6)
EVERYTHING = Feature(sum(Feature))
