/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/**
 * @file
 * Trace points, "pmd.net.vhost_pci.*": events of control. There are none in the bursts: ethdev has
 * its own there.
 */

#ifndef VHOST_PCI_TRACE_H
#define VHOST_PCI_TRACE_H

#include <stdint.h>

#include <rte_trace_point.h>

/** A front-end has connected. */
RTE_TRACE_POINT(vhost_pci_trace_connected, RTE_TRACE_POINT_ARGS(uint16_t port_id),
		rte_trace_point_emit_u16(port_id);)

/** The connection has ended: by the front-end (0), or for an error. */
RTE_TRACE_POINT(vhost_pci_trace_disconnected, RTE_TRACE_POINT_ARGS(uint16_t port_id, int error),
		rte_trace_point_emit_u16(port_id);
		rte_trace_point_emit_int(error);)

/** A message of the front-end was handled. */
RTE_TRACE_POINT(vhost_pci_trace_message,
		RTE_TRACE_POINT_ARGS(uint16_t port_id, uint32_t request, int result),
		rte_trace_point_emit_u16(port_id);
		rte_trace_point_emit_u32(request); rte_trace_point_emit_int(result);)

/** The front-end has set its features. */
RTE_TRACE_POINT(vhost_pci_trace_features, RTE_TRACE_POINT_ARGS(uint16_t port_id, uint64_t features),
		rte_trace_point_emit_u16(port_id);
		rte_trace_point_emit_u64(features);)

/** A vring has changed to the given mode. */
RTE_TRACE_POINT(vhost_pci_trace_vring,
		RTE_TRACE_POINT_ARGS(uint16_t port_id, uint16_t vring, uint32_t mode),
		rte_trace_point_emit_u16(port_id);
		rte_trace_point_emit_u16(vring); rte_trace_point_emit_u32(mode);)

/** The link has changed. */
RTE_TRACE_POINT(vhost_pci_trace_link, RTE_TRACE_POINT_ARGS(uint16_t port_id, uint8_t up),
		rte_trace_point_emit_u16(port_id);
		rte_trace_point_emit_u8(up);)

#endif /* VHOST_PCI_TRACE_H */
