/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <rte_trace_point_register.h>

#include "vhost_pci_trace.h"

RTE_TRACE_POINT_REGISTER(vhost_pci_trace_connected, pmd.net.vhost_pci.connected)
RTE_TRACE_POINT_REGISTER(vhost_pci_trace_disconnected, pmd.net.vhost_pci.disconnected)
RTE_TRACE_POINT_REGISTER(vhost_pci_trace_message, pmd.net.vhost_pci.message)
RTE_TRACE_POINT_REGISTER(vhost_pci_trace_features, pmd.net.vhost_pci.features)
RTE_TRACE_POINT_REGISTER(vhost_pci_trace_vring, pmd.net.vhost_pci.vring)
RTE_TRACE_POINT_REGISTER(vhost_pci_trace_link, pmd.net.vhost_pci.link)
