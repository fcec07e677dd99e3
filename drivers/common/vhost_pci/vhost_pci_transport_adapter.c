/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vhost_pci_log.h"
#include "vhost_pci_transport_adapter_priv.h"

/** Frames of other sessions that are thrown away at one go. */
#define DISCARD_MAX 64

/** Bytes of a window that are read to measure it; twice, and a cache holds them all. */
#define MEASURE_BYTES 8192

/** A mapping is a part of a BAR. */
struct adp_mapping {
	struct vhost_pci_mapping base;
	struct vhost_pci_adp *adp;
};

/* Messages [sections 8 and 9] */

void
adp_notify_device(struct vhost_pci_adp *adp)
{
	adp_reg_write(&adp->doorbells->msg_notify, 0);
}

static int
ring_corrupted(struct vhost_pci_adp *adp, const char *which)
{
	adp_set_state(adp, VHOST_PCI_ADP_BROKEN, which);
	return -EPROTO;
}

/** Nothing to receive: tell the device of what was taken, and be readable no more. */
static int
nothing_yet(struct adp_transport *transport)
{
	uint64_t count;

	if (transport->taken)
		adp_notify_device(transport->adp);
	transport->taken = false;
	if (read(transport->base.event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	return -EAGAIN;
}

/** Put a reply on the ring; one that finds no room waits, and no message is received meanwhile. */
static int
put_reply(struct vhost_pci_adp *adp, const struct vhost_pci_msg *msg, uint64_t conn_id)
{
	int ret = vhost_pci_msgring_enqueue(&adp->b2f, msg, 0, conn_id);

	if (ret == 0) {
		adp->has_pending = false;
		adp_notify_device(adp);
		return 0;
	}
	if (ret == -EPROTO || ret == -EPIPE)
		return ring_corrupted(adp, "the ring to the front-end is corrupted");
	if (ret == -ENOSPC && !adp->has_pending) {
		adp->pending = *msg;
		adp->has_pending = true;
	}
	return ret;
}

/** Hand over what stands for the fd of a kick [ADP-9.3]: the eventfd of the vring's vector. */
static void
attach_kick(const struct vhost_pci_adp *adp, struct vhost_pci_msg *msg)
{
	uint64_t index = msg->payload.u64 & VHOST_USER_VRING_IDX_MASK;
	const struct vhost_pci_adp_config *config = &adp->config;

	if (msg->hdr.request != VHOST_USER_SET_VRING_KICK || msg->nb_fds == 0)
		return;
	if (config->kick_fd == NULL || index >= config->nb_vrings || config->kick_fd[index] < 0)
		return;
	msg->fds[0] = fcntl(config->kick_fd[index], F_DUPFD_CLOEXEC, 0);
}

/** Whether a frame is a reply to a request of the back-end [ADP-9.2], which goes elsewhere. */
static bool
is_for_channel(struct vhost_pci_adp *adp, const struct vhost_pci_msg *msg)
{
	if ((msg->hdr.flags & VHOST_USER_REPLY) == 0)
		return false;
	adp_channel_reply(adp, msg);
	return true;
}

/** Take a frame. Returns 1: a message. 0: a frame that is none of ours. -EAGAIN, -errno. */
static int
take_frame(struct adp_transport *transport, struct vhost_pci_msg *msg)
{
	struct vhost_pci_adp *adp = transport->adp;
	struct vhost_pci_adapter_frame frame;
	int ret = vhost_pci_msgring_dequeue(&adp->f2b, msg, &frame);

	if (ret == -EAGAIN)
		return ret;
	if (ret < 0 && ret != -EMSGSIZE)
		return ring_corrupted(adp, "the ring from the front-end is corrupted");
	transport->taken = true;
	/* [ADP-9.5] */
	if (frame.conn_id != transport->conn_id || (ret == 0 && is_for_channel(adp, msg)))
		return 0;
	if (ret == 0)
		ret = vhost_pci_codec_check(msg, VHOST_PCI_MSG_REQUEST);
	/* An unknown id is the session's to refuse. */
	if (ret < 0 && ret != -EOPNOTSUPP)
		return ret;
	transport->answered = (frame.flags & VHOST_PCI_ADAPTER_FRAME_ANSWERED) != 0;
	attach_kick(adp, msg);
	return 1;
}

static int
adp_recv(struct vhost_pci_transport *base, struct vhost_pci_msg *msg)
{
	struct adp_transport *transport = (struct adp_transport *)base;
	struct vhost_pci_adp *adp = transport->adp;
	unsigned int i;
	int ret;

	if (adp_is_over(transport))
		return 0;
	if (adp->has_pending) {
		ret = put_reply(adp, &adp->pending, transport->conn_id);
		if (ret < 0)
			return ret == -ENOSPC ? nothing_yet(transport) : ret;
	}
	for (i = 0; i < DISCARD_MAX; i++) {
		ret = take_frame(transport, msg);
		if (ret != 0)
			return ret == -EAGAIN ? nothing_yet(transport) : ret;
	}
	/* The event_fd stays readable: the next call goes on. */
	return -EAGAIN;
}

/** A reply that is not to be sent: the front-end has the device's. */
static int
drop_reply(const struct vhost_pci_msg *msg)
{
	bool is_code = vhost_pci_codec_reply(msg->hdr.request) != VHOST_PCI_REPLY_OWN;

	/* The front-end was told yes, and it is no: it can't be followed [ADP-9.13]. */
	return is_code && msg->payload.u64 != 0 ? -ECONNABORTED : 0;
}

static int
adp_send(struct vhost_pci_transport *base, struct vhost_pci_msg *msg)
{
	struct adp_transport *transport = (struct adp_transport *)base;
	int ret;

	vhost_pci_msg_close_fds(msg);
	if (adp_is_over(transport))
		return 0;
	if (transport->answered)
		return drop_reply(msg);
	ret = put_reply(transport->adp, msg, transport->conn_id);
	return ret == -ENOSPC ? 0 : ret;
}

static void
adp_close(struct vhost_pci_transport *base)
{
	struct adp_transport *transport = (struct adp_transport *)base;

	adp_channel_end(transport->adp);
	transport->adp->transport = NULL;
	transport->adp->has_pending = false;
	transport->adp->look = true;
	close(base->event_fd);
	free(transport);
}

/* Windows [section 11] */

static void
adp_mapping_release(struct vhost_pci_mapping *base)
{
	struct adp_mapping *mapping = (struct adp_mapping *)base;
	struct vhost_pci_adp *adp = mapping->adp;

	/* Release: what was read from the window was read before vhost_pci_adp_nb_mappings(). */
	__atomic_sub_fetch(&adp->nb_mappings, 1, __ATOMIC_RELEASE);
	adp_put(adp);
	free(mapping);
}

/** Read one window's descriptor, and find it in its BAR; false where that can't be. */
static bool
read_window(struct vhost_pci_adp *adp, unsigned int idx)
{
	const struct vhost_pci_adapter_window *regs = &adp->regs->window[idx];
	struct adp_window *window = &adp->window[idx];
	bool is_log = idx == VHOST_PCI_ADAPTER_WINDOW_IDX_LOG;
	uint32_t info = adp_reg_read(&regs->info);
	uint64_t bar_bytes;

	window->bytes = 0;
	if (VHOST_PCI_ADAPTER_WINDOW_INFO_TYPE(info) !=
			(is_log ? VHOST_PCI_ADAPTER_WINDOW_LOG : VHOST_PCI_ADAPTER_WINDOW_MEM))
		return true;
	window->bar = VHOST_PCI_ADAPTER_WINDOW_INFO_BAR(info);
	window->bar_off = adp_reg_read64(&regs->offset_lo);
	window->bytes = adp_reg_read64(&regs->bytes_lo);
	window->may_shrink = (info & VHOST_PCI_ADAPTER_WINDOW_INFO_SEALED) == 0;
	/* Only the log may be in the registers' BAR. */
	if (window->bar >= VHOST_PCI_ADP_BARS ||
			(window->bar == VHOST_PCI_ADAPTER_BAR_REGS && !is_log) ||
			adp->bar[window->bar].va == NULL ||
			window->bar_off % VHOST_PCI_ADAPTER_WINDOW_ALIGN != 0)
		return false;
	bar_bytes = adp->bar[window->bar].bytes;
	return window->bar_off <= bar_bytes && window->bytes <= bar_bytes - window->bar_off;
}

static int
read_windows(struct vhost_pci_adp *adp)
{
	unsigned int idx;

	for (idx = 0; idx <= VHOST_PCI_ADAPTER_WINDOW_IDX_LOG; idx++) {
		if (read_window(adp, idx))
			continue;
		adp->window[idx].bytes = 0;
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: window %u is not in its BAR", adp->name, idx);
		return -EINVAL;
	}
	return 0;
}

/** Whether a window holds a range of a BAR. */
static bool
window_holds(const struct adp_window *window, uint64_t bar_addr, uint64_t size)
{
	uint64_t bar_off = vhost_pci_adapter_bar_off(bar_addr);

	if (window->bytes == 0 || window->bar != vhost_pci_adapter_bar(bar_addr) ||
			bar_off < window->bar_off)
		return false;
	return bar_off - window->bar_off <= window->bytes &&
			size <= window->bytes - (bar_off - window->bar_off);
}

/** The window of memory that holds a range of a BAR, NULL where there is none [ADP-11.4]. */
static const struct adp_window *
find_window(const struct vhost_pci_adp *adp, uint64_t bar_addr, uint64_t size)
{
	unsigned int idx;

	for (idx = 0; idx < VHOST_PCI_ADAPTER_WINDOW_IDX_LOG; idx++)
		if (window_holds(&adp->window[idx], bar_addr, size))
			return &adp->window[idx];
	return NULL;
}

static uint64_t
now_ps(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000000) + (uint64_t)now.tv_nsec * 1000;
}

/** Load words from a window, in a way that no compiler leaves out. */
static void
load_words(const volatile vhost_pci_word64 *words, uint64_t nb_words)
{
	while (nb_words-- > 0)
		(void)*words++;
}

/** Time loads of a window: the second time a cache has it all, if one may [ADP-11.9]. */
static unsigned int
measure(const uint8_t *va, uint64_t size)
{
	uint64_t bytes = size < MEASURE_BYTES ? size : MEASURE_BYTES;
	uint64_t skipped = -(uintptr_t)va % sizeof(vhost_pci_word64);
	const vhost_pci_word64 *words = (const void *)(va + skipped);
	uint64_t nb_words;
	uint64_t begin;

	if (bytes < skipped + sizeof(*words))
		return 0;
	nb_words = (bytes - skipped) / sizeof(*words);
	load_words(words, nb_words);
	begin = now_ps();
	load_words(words, nb_words);
	return (unsigned int)((now_ps() - begin) / nb_words) + 1;
}

/** Make a mapping of a part of a window. */
static int
make_mapping(struct vhost_pci_adp *adp, const struct adp_window *window, uint64_t bar_addr,
		uint64_t size, struct vhost_pci_mapping **mapping)
{
	struct adp_mapping *new_mapping;

	new_mapping = calloc(1, sizeof(*new_mapping));
	if (new_mapping == NULL)
		return -ENOMEM;
	new_mapping->adp = adp;
	new_mapping->base.refcnt = 1;
	new_mapping->base.va = adp->bar[window->bar].va + vhost_pci_adapter_bar_off(bar_addr);
	new_mapping->base.size = size;
	new_mapping->base.may_shrink = window->may_shrink;
	new_mapping->base.release = adp_mapping_release;
	__atomic_add_fetch(&adp->refcnt, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&adp->nb_mappings, 1, __ATOMIC_RELAXED);
	*mapping = &new_mapping->base;
	return 0;
}

static int
adp_map_region(struct vhost_pci_transport *base, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	struct vhost_pci_adp *adp = ((struct adp_transport *)base)->adp;
	const struct adp_window *window = find_window(adp, mmap_offset, size);
	int ret;

	(void)fd;
	if (size == 0 || window == NULL)
		return -EINVAL;
	ret = make_mapping(adp, window, mmap_offset, size, mapping);
	if (ret == 0 && adp->load_ps == 0)
		adp->load_ps = measure((*mapping)->va, size);
	return ret;
}

/** The log is in a window of its own, from where the device merges it [ADP-11.11]. */
static int
adp_map_log(struct vhost_pci_transport *base, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	struct vhost_pci_adp *adp = ((struct adp_transport *)base)->adp;
	const struct adp_window *window = &adp->window[VHOST_PCI_ADAPTER_WINDOW_IDX_LOG];

	(void)fd;
	if (size == 0 || !window_holds(window, mmap_offset, size))
		return -EINVAL;
	return make_mapping(adp, window, mmap_offset, size, mapping);
}

/* Notifications and vring state [sections 7 and 13] */

static volatile uint32_t *
adp_doorbell(struct vhost_pci_transport *base, uint32_t request, unsigned int index)
{
	struct vhost_pci_adp *adp = ((struct adp_transport *)base)->adp;

	/* The log: the device looks at it by itself, and signals [ADP-11.16]. */
	if (index >= adp->info.nb_vrings || request == VHOST_USER_SET_LOG_FD)
		return NULL;
	return request == VHOST_USER_SET_VRING_CALL ? &adp->doorbells->call[index]
						    : &adp->doorbells->err[index];
}

static void
adp_vring_stopped(struct vhost_pci_transport *base, unsigned int index, uint32_t vring_base)
{
	struct vhost_pci_adp *adp = ((struct adp_transport *)base)->adp;

	if (index >= adp->info.nb_vrings)
		return;
	/* [ADP-13.1]: base, and then flags. */
	vhost_pci_store_release(&adp->vring_state[index].base, vring_base);
	vhost_pci_store_release(&adp->vring_state[index].flags,
			VHOST_PCI_ADAPTER_VRING_STATE_VALID);
}

static int
adp_open_channel(struct vhost_pci_transport *base, int fd, struct vhost_pci_transport **channel)
{
	/* The fd is the device's, which relays. */
	(void)fd;
	return adp_channel_open(((struct adp_transport *)base)->adp, channel);
}

static const struct vhost_pci_transport_ops adp_ops = {
	.recv = adp_recv,
	.send = adp_send,
	.map_region = adp_map_region,
	.map_log = adp_map_log,
	.doorbell = adp_doorbell,
	.vring_stopped = adp_vring_stopped,
	.open_channel = adp_open_channel,
	.close = adp_close,
};

int
vhost_pci_adp_open(struct vhost_pci_adp *adp, struct vhost_pci_transport **transport)
{
	struct adp_transport *new_transport;
	int ret;

	if (adp->state != VHOST_PCI_ADP_CONNECTED)
		return -ENOTCONN;
	if (adp->transport != NULL)
		return -EBUSY;
	ret = read_windows(adp);
	if (ret < 0)
		return ret;
	new_transport = calloc(1, sizeof(*new_transport));
	if (new_transport == NULL)
		return -ENOMEM;
	new_transport->base.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (new_transport->base.event_fd < 0) {
		ret = -errno;
		free(new_transport);
		return ret;
	}
	new_transport->base.ops = &adp_ops;
	new_transport->adp = adp;
	new_transport->conn_id = adp->conn_id;
	adp->transport = new_transport;
	adp_wake(new_transport);
	*transport = &new_transport->base;
	return 0;
}
