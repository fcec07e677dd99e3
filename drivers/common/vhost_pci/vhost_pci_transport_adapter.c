/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_transport_adapter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "vhost_pci_barrier.h"
#include "vhost_pci_log.h"
#include "vhost_pci_msgring.h"

/** Adapter features that this driver makes use of; F_STATIC informs [ADP-4.5]. */
#define FEATURES_KNOWN VHOST_PCI_ADAPTER_F_STATIC

/** Frames of other sessions that are thrown away at one go. */
#define DISCARD_MAX 64

/** Reads of a state that changes meanwhile, before it is left to the next look [ADP-12.4]. */
#define GENERATION_TRIES 8

/** Bytes of a window that are read to measure it; twice, and a cache holds them all. */
#define MEASURE_BYTES 8192

/** A session with a front-end, over the message rings. */
struct adp_transport {
	struct vhost_pci_transport base;
	struct vhost_pci_adp *adp;
	uint64_t conn_id;
	bool answered; /**< The message received last was answered by the device. */
	bool taken;    /**< Frames were taken that the device was not told of. */
};

/** A window, as it was when the session began; checked against its BAR. */
struct adp_window {
	unsigned int bar;
	uint64_t bar_off;
	uint64_t bytes; /**< 0: absent. */
	bool may_shrink;
};

/** The driver's end of an adapter. */
struct vhost_pci_adp {
	struct vhost_pci_adp_bar bar[VHOST_PCI_ADP_BARS];
	struct vhost_pci_adp_info info;
	struct vhost_pci_adp_config config;
	char name[64];
	uint32_t refcnt;      /**< Atomic: of the owner, and of each mapping. */
	uint32_t nb_mappings; /**< Atomic. */

	/* In BAR0. */
	struct vhost_pci_adapter_regs *regs;
	struct vhost_pci_adapter_vring_regs *vring_regs;
	struct vhost_pci_adapter_doorbells *doorbells;
	struct vhost_pci_adapter_counters *counters;
	struct vhost_pci_adapter_vring_state *vring_state;
	struct vhost_pci_msgring f2b;
	struct vhost_pci_msgring b2f;

	/* What was seen last. */
	enum vhost_pci_adp_state state;
	uint32_t conn_state;
	uint64_t conn_id;
	uint64_t ended_id; /**< The session that was ended here; 0: none. */
	uint32_t event_seq;
	uint32_t alive;
	uint64_t alive_ms; /**< When it was seen to change. */
	bool look;         /**< Look at the registers whatever the event counter says. */

	/* The session. */
	struct adp_transport *transport; /**< NULL: closed. */
	struct adp_window window[VHOST_PCI_ADAPTER_WINDOW_IDX_LOG];
	bool has_pending; /**< A reply waits for room on the ring. */
	struct vhost_pci_msg pending;
	unsigned int load_ps;
};

/** A mapping is a part of a BAR. */
struct adp_mapping {
	struct vhost_pci_mapping base;
	struct vhost_pci_adp *adp;
};

/* Registers: aligned accesses of 4 bytes [ADP-3.1], in program order */

static uint32_t
reg_read(const uint32_t *reg)
{
	return vhost_pci_load_acquire((const volatile uint32_t *)reg);
}

static void
reg_write(uint32_t *reg, uint32_t value)
{
	vhost_pci_store_release((volatile uint32_t *)reg, value);
}

static uint64_t
reg_read64(const uint32_t *reg_lo)
{
	return reg_read(reg_lo) | (uint64_t)reg_read(reg_lo + 1) << 32;
}

static void
reg_write64(uint32_t *reg_lo, uint64_t value)
{
	reg_write(reg_lo, (uint32_t)value);
	reg_write(reg_lo + 1, (uint32_t)(value >> 32));
}

/* Initialization [section 5.2] */

/** A part of BAR0, NULL where it is not in there, or not aligned [ADP-15.5]. */
static void *
bar0_part(const struct vhost_pci_adp *adp, uint32_t off, uint32_t bytes, uint32_t align)
{
	const struct vhost_pci_adp_bar *bar = &adp->bar[VHOST_PCI_ADAPTER_BAR_REGS];

	if (off % align != 0 || off >= bar->bytes || bytes > bar->bytes - off)
		return NULL;
	return bar->va + off;
}

static int
check_identity(struct vhost_pci_adp *adp)
{
	uint32_t magic = reg_read(&adp->regs->magic);

	if (magic != VHOST_PCI_ADAPTER_MAGIC) {
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: %s (magic 0x%08x)", adp->name,
				magic == VHOST_PCI_ADAPTER_GONE ? "the device does not answer"
								: "no vhost-pci adapter",
				magic);
		return -ENODEV;
	}
	adp->info.version = reg_read(&adp->regs->version);
	/* [ADP-4.1] */
	if (VHOST_PCI_ADAPTER_MAJOR(adp->info.version) !=
			VHOST_PCI_ADAPTER_MAJOR(VHOST_PCI_ADAPTER_VERSION)) {
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: version %u.%u of the adapter is not known",
				adp->name, VHOST_PCI_ADAPTER_MAJOR(adp->info.version),
				VHOST_PCI_ADAPTER_MINOR(adp->info.version));
		return -ENOTSUP;
	}
	return 0;
}

static int
reset_and_negotiate(struct vhost_pci_adp *adp)
{
	struct vhost_pci_adapter_regs *regs = adp->regs;
	uint32_t status;

	reg_write(&regs->device_status, 0);
	if (reg_read(&regs->device_status) != 0) {
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: the adapter can't be reset", adp->name);
		return -EIO;
	}
	status = VHOST_PCI_ADAPTER_STATUS_DRIVER;
	reg_write(&regs->device_status, status);
	adp->info.device_features = reg_read64(&regs->device_features_lo);
	reg_write64(&regs->driver_features_lo, adp->info.device_features & FEATURES_KNOWN);
	status |= VHOST_PCI_ADAPTER_STATUS_FEATURES_OK;
	reg_write(&regs->device_status, status);
	/* [ADP-4.3] */
	if (reg_read(&regs->device_status) != status) {
		reg_write(&regs->device_status, status | VHOST_PCI_ADAPTER_STATUS_FAILED);
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: the adapter refuses its features", adp->name);
		return -EPROTO;
	}
	return 0;
}

static int
read_limits(struct vhost_pci_adp *adp)
{
	const struct vhost_pci_adapter_regs *regs = adp->regs;
	struct vhost_pci_adp_info *info = &adp->info;

	info->nb_vrings = reg_read(&regs->nb_vrings);
	info->nb_vectors = reg_read(&regs->nb_vectors);
	info->virtio_id = (uint16_t)reg_read(&regs->virtio_id);
	info->offered_features = reg_read64(&regs->offered_features_lo);
	info->offered_protocol = reg_read64(&regs->offered_protocol_lo);
	if (info->nb_vrings == 0 || info->nb_vrings > VHOST_PCI_ADAPTER_VRINGS_MAX ||
			info->nb_vectors > VHOST_PCI_ADAPTER_VECTORS_MAX)
		return -EINVAL;
	return 0;
}

/** Set up one end of a message ring by three registers: control, data, size. */
static int
init_ring(struct vhost_pci_adp *adp, struct vhost_pci_msgring *ring, const uint32_t *regs)
{
	uint32_t ctrl_off = reg_read(&regs[0]);
	uint32_t data_off = reg_read(&regs[1]);
	uint32_t bytes = reg_read(&regs[2]);
	void *ctrl = bar0_part(adp, ctrl_off, sizeof(struct vhost_pci_adapter_ring_ctrl),
			VHOST_PCI_ADAPTER_RING_ALIGN);
	void *data = bar0_part(adp, data_off, bytes, VHOST_PCI_ADAPTER_RING_ALIGN);

	if (ctrl == NULL || data == NULL)
		return -EINVAL;
	return vhost_pci_msgring_init(ring, ctrl, data, bytes, reg_read(&adp->regs->msg_bytes_max));
}

static int
find_shared(struct vhost_pci_adp *adp)
{
	const struct vhost_pci_adapter_regs *regs = adp->regs;
	int ret;

	adp->counters = bar0_part(adp, reg_read(&regs->counters_off), sizeof(*adp->counters),
			sizeof(uint32_t));
	adp->vring_state = bar0_part(adp, reg_read(&regs->vring_state_off),
			sizeof(*adp->vring_state) * VHOST_PCI_ADAPTER_VRINGS_MAX, sizeof(uint32_t));
	if (adp->counters == NULL || adp->vring_state == NULL)
		return -EINVAL;
	ret = init_ring(adp, &adp->f2b, &regs->f2b_ctrl_off);
	return ret == 0 ? init_ring(adp, &adp->b2f, &regs->b2f_ctrl_off) : ret;
}

static int
initialize(struct vhost_pci_adp *adp)
{
	int ret;

	ret = check_identity(adp);
	if (ret == 0)
		ret = reset_and_negotiate(adp);
	if (ret < 0)
		return ret;
	ret = read_limits(adp);
	if (ret == 0)
		ret = find_shared(adp);
	if (ret < 0)
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: the adapter's registers can't be right: %s",
				adp->name, strerror(-ret));
	adp->state = VHOST_PCI_ADP_IDLE;
	adp->conn_state = VHOST_PCI_ADAPTER_CONN_NONE;
	adp->conn_id = 0;
	adp->ended_id = 0;
	adp->has_pending = false;
	adp->look = true;
	return ret;
}

static void
adp_put(struct vhost_pci_adp *adp)
{
	if (__atomic_sub_fetch(&adp->refcnt, 1, __ATOMIC_ACQ_REL) == 0)
		free(adp);
}

int
vhost_pci_adp_create(const struct vhost_pci_adp_bar *bars, const char *name,
		struct vhost_pci_adp **adp)
{
	const struct vhost_pci_adp_bar *bar0 = &bars[VHOST_PCI_ADAPTER_BAR_REGS];
	struct vhost_pci_adp *new_adp;
	int ret;

	if (bar0->va == NULL || bar0->bytes < VHOST_PCI_ADAPTER_BAR0_BYTES_MIN) {
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: BAR0 is too small, or not mapped", name);
		return -EINVAL;
	}
	new_adp = calloc(1, sizeof(*new_adp));
	if (new_adp == NULL)
		return -ENOMEM;
	memcpy(new_adp->bar, bars, sizeof(new_adp->bar));
	snprintf(new_adp->name, sizeof(new_adp->name), "%s", name);
	new_adp->refcnt = 1;
	new_adp->regs = (void *)(bar0->va + VHOST_PCI_ADAPTER_REGS_OFF);
	new_adp->vring_regs = (void *)(bar0->va + VHOST_PCI_ADAPTER_VRING_REGS_OFF);
	new_adp->doorbells = (void *)(bar0->va + VHOST_PCI_ADAPTER_DOORBELLS_OFF);
	ret = initialize(new_adp);
	if (ret < 0) {
		adp_put(new_adp);
		return ret;
	}
	*adp = new_adp;
	return 0;
}

void
vhost_pci_adp_destroy(struct vhost_pci_adp *adp)
{
	if (adp->state != VHOST_PCI_ADP_GONE)
		reg_write(&adp->regs->device_status, 0);
	adp_put(adp);
}

const struct vhost_pci_adp_info *
vhost_pci_adp_info(const struct vhost_pci_adp *adp)
{
	return &adp->info;
}

static void
write_vectors(struct vhost_pci_adp *adp)
{
	const struct vhost_pci_adp_config *config = &adp->config;
	unsigned int i;

	reg_write(&adp->regs->event_vector, config->event_vector);
	for (i = 0; config->vector != NULL && i < config->nb_vrings; i++)
		reg_write(&adp->vring_regs[i].vector, config->vector[i]);
}

static int
get_ready(struct vhost_pci_adp *adp)
{
	static const uint32_t ready = VHOST_PCI_ADAPTER_STATUS_DRIVER |
			VHOST_PCI_ADAPTER_STATUS_FEATURES_OK |
			VHOST_PCI_ADAPTER_STATUS_DRIVER_READY;
	struct vhost_pci_adapter_regs *regs = adp->regs;
	uint32_t status;

	reg_write64(&regs->driver_cap_features_lo, adp->config.features);
	reg_write64(&regs->driver_cap_protocol_lo, adp->config.protocol_features);
	reg_write(&regs->driver_cap_vrings, adp->config.nb_vrings);
	reg_write(&regs->local_connection, VHOST_PCI_ADAPTER_PEER_ON);
	write_vectors(adp);
	adp->event_seq = vhost_pci_load_acquire(&adp->counters->event_seq);
	reg_write(&regs->device_status, ready);
	status = reg_read(&regs->device_status);
	if (status == VHOST_PCI_ADAPTER_GONE)
		return -ENODEV;
	/* It may need a reset again by now: that shows at the next look. */
	return (status & ready) == ready ? 0 : -EIO;
}

int
vhost_pci_adp_start(struct vhost_pci_adp *adp, const struct vhost_pci_adp_config *config)
{
	if (config->nb_vrings == 0 || config->nb_vrings > adp->info.nb_vrings)
		return -EINVAL;
	adp->config = *config;
	return get_ready(adp);
}

int
vhost_pci_adp_restart(struct vhost_pci_adp *adp)
{
	int ret;

	if (adp->state == VHOST_PCI_ADP_GONE)
		return -ENODEV;
	ret = initialize(adp);
	if (ret == 0 && adp->config.nb_vrings > adp->info.nb_vrings)
		ret = -EINVAL;
	if (ret == 0)
		ret = get_ready(adp);
	if (ret < 0)
		adp->state = VHOST_PCI_ADP_BROKEN;
	return ret;
}

/* State [section 12] */

static enum vhost_pci_adp_state
set_state(struct vhost_pci_adp *adp, enum vhost_pci_adp_state state, const char *why)
{
	if (state != adp->state && why != NULL)
		vhost_pci_log(VHOST_PCI_LOG_WARNING, "%s: %s", adp->name, why);
	adp->state = state;
	return state;
}

/** Read state and id that belong together; false where they change all the time [ADP-12.4]. */
static bool
read_conn(struct vhost_pci_adp *adp)
{
	const struct vhost_pci_adapter_regs *regs = adp->regs;
	uint32_t generation;
	unsigned int i;

	for (i = 0; i < GENERATION_TRIES; i++) {
		generation = reg_read(&regs->conn_generation);
		adp->conn_state = reg_read(&regs->conn_state);
		adp->conn_id = reg_read64(&regs->conn_id_lo);
		if (adp->conn_state == VHOST_PCI_ADAPTER_GONE ||
				reg_read(&regs->conn_generation) == generation)
			return true;
	}
	return false;
}

static enum vhost_pci_adp_state
read_state(struct vhost_pci_adp *adp)
{
	uint32_t status = reg_read(&adp->regs->device_status);

	adp->look = !read_conn(adp);
	if (adp->conn_state == VHOST_PCI_ADAPTER_GONE || status == VHOST_PCI_ADAPTER_GONE)
		return set_state(adp, VHOST_PCI_ADP_GONE, "the device is gone");
	if ((status & VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET) != 0)
		return set_state(adp, VHOST_PCI_ADP_BROKEN, "the device needs a reset");
	if ((status & VHOST_PCI_ADAPTER_STATUS_DRIVER_READY) == 0)
		return set_state(adp, VHOST_PCI_ADP_BROKEN, "the device was reset by others");
	if (adp->conn_state > VHOST_PCI_ADAPTER_CONN_RETIRED)
		return set_state(adp, VHOST_PCI_ADP_BROKEN, "the device is in no known state");
	if (adp->conn_state == VHOST_PCI_ADAPTER_CONN_RETIRED)
		return set_state(adp, VHOST_PCI_ADP_RETIRED,
				"the device has no more front-ends: it is to be unplugged");
	/* A session that was ended here is no session, as long as it takes the device. */
	if (adp->conn_state == VHOST_PCI_ADAPTER_CONN_CONNECTED && adp->conn_id != adp->ended_id)
		return set_state(adp, VHOST_PCI_ADP_CONNECTED, NULL);
	return set_state(adp, VHOST_PCI_ADP_IDLE, NULL);
}

/** Whether it is time to read registers: each read costs an exit. */
static bool
is_news(struct vhost_pci_adp *adp, uint64_t now_ms)
{
	/* Pairs with the device's counting after it has changed something [ADP-6.5]. */
	uint32_t event_seq = vhost_pci_load_acquire(&adp->counters->event_seq);
	uint32_t alive = vhost_pci_load_relaxed(&adp->counters->alive);
	bool news = adp->look || event_seq != adp->event_seq;

	adp->event_seq = event_seq;
	if (alive != adp->alive || adp->alive_ms == 0) {
		adp->alive = alive;
		adp->alive_ms = now_ms;
	} else if (now_ms - adp->alive_ms >= VHOST_PCI_ADAPTER_ALIVE_DRIVER_MS) {
		/* [ADP-12.10] Slow or gone; if it is slow, it has as much time once more. */
		adp->alive_ms = now_ms;
		news = true;
	}
	return news;
}

/** Whether the session of a transport is not the one any more that the adapter is in. */
static bool
is_over(const struct adp_transport *transport)
{
	return transport->adp->state != VHOST_PCI_ADP_CONNECTED ||
			transport->conn_id != transport->adp->conn_id;
}

/** Make the transport's event_fd readable. */
static void
wake(const struct adp_transport *transport)
{
	uint64_t one = 1;

	/* It can't be full: the count is taken whenever there was nothing to receive. */
	if (write(transport->base.event_fd, &one, sizeof(one)) < 0)
		vhost_pci_log(VHOST_PCI_LOG_DEBUG, "%s: eventfd: %s", transport->adp->name,
				strerror(errno));
}

/** Let go of the session that has ended, once nobody uses its memory [ADP-12.7, ADP-12.8]. */
static void
release(struct vhost_pci_adp *adp)
{
	if (adp->conn_state != VHOST_PCI_ADAPTER_CONN_DISCONNECTED || adp->transport != NULL ||
			vhost_pci_adp_nb_mappings(adp) > 0)
		return;
	reg_write(&adp->regs->conn_control, VHOST_PCI_ADAPTER_CONTROL_RELEASE);
	read_state(adp);
}

enum vhost_pci_adp_state
vhost_pci_adp_poll(struct vhost_pci_adp *adp, uint64_t now_ms)
{
	const struct adp_transport *transport = adp->transport;

	/* Nothing is ever to be had of it again. */
	if (adp->state == VHOST_PCI_ADP_GONE)
		return adp->state;
	if (is_news(adp, now_ms))
		read_state(adp);
	if (adp->state == VHOST_PCI_ADP_IDLE)
		release(adp);
	if (transport != NULL &&
			(is_over(transport) || adp->has_pending ||
					vhost_pci_load_relaxed(&adp->f2b.ctrl->prod_idx) !=
							adp->f2b.own_idx))
		wake(transport);
	return adp->state;
}

void
vhost_pci_adp_end(struct vhost_pci_adp *adp)
{
	adp->look = true;
	if (adp->state != VHOST_PCI_ADP_CONNECTED)
		return;
	adp->ended_id = adp->conn_id;
	adp->state = VHOST_PCI_ADP_IDLE;
	reg_write(&adp->regs->conn_control, VHOST_PCI_ADAPTER_CONTROL_CLOSE);
}

unsigned int
vhost_pci_adp_nb_mappings(const struct vhost_pci_adp *adp)
{
	return vhost_pci_load_acquire(&adp->nb_mappings);
}

unsigned int
vhost_pci_adp_load_ps(const struct vhost_pci_adp *adp)
{
	return adp->load_ps;
}

/* Messages [sections 8 and 9] */

/** Tell the device that frames were put, or taken [ADP-8.7]. */
static void
notify_device(struct vhost_pci_adp *adp)
{
	reg_write(&adp->doorbells->msg_notify, 0);
}

static int
ring_corrupted(struct vhost_pci_adp *adp, const char *which)
{
	set_state(adp, VHOST_PCI_ADP_BROKEN, which);
	return -EPROTO;
}

/** Nothing to receive: tell the device of what was taken, and be readable no more. */
static int
nothing_yet(struct adp_transport *transport)
{
	uint64_t count;

	if (transport->taken)
		notify_device(transport->adp);
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
		notify_device(adp);
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

/** Whether a frame is for this session: a request of its front-end [ADP-9.2, ADP-9.5]. */
static bool
is_ours(const struct adp_transport *transport, const struct vhost_pci_adapter_frame *frame,
		const struct vhost_pci_msg *msg)
{
	if (frame->conn_id != transport->conn_id)
		return false;
	/* No request is sent on the back-end channel: there is nothing to reply to. */
	return msg == NULL || (msg->hdr.flags & VHOST_USER_REPLY) == 0;
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
	if (!is_ours(transport, &frame, ret == 0 ? msg : NULL))
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

	if (is_over(transport))
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
	if (is_over(transport))
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
	uint32_t info = reg_read(&regs->info);
	uint64_t bar_bytes;

	window->bytes = 0;
	if (VHOST_PCI_ADAPTER_WINDOW_INFO_TYPE(info) != VHOST_PCI_ADAPTER_WINDOW_MEM)
		return true;
	window->bar = VHOST_PCI_ADAPTER_WINDOW_INFO_BAR(info);
	window->bar_off = reg_read64(&regs->offset_lo);
	window->bytes = reg_read64(&regs->bytes_lo);
	window->may_shrink = (info & VHOST_PCI_ADAPTER_WINDOW_INFO_SEALED) == 0;
	if (window->bar >= VHOST_PCI_ADP_BARS || window->bar == VHOST_PCI_ADAPTER_BAR_REGS ||
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

	for (idx = 0; idx < VHOST_PCI_ADAPTER_WINDOW_IDX_LOG; idx++) {
		if (read_window(adp, idx))
			continue;
		adp->window[idx].bytes = 0;
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: window %u is not in its BAR", adp->name, idx);
		return -EINVAL;
	}
	return 0;
}

/** The window that holds a range of a BAR, NULL where there is none [ADP-11.4]. */
static const struct adp_window *
find_window(const struct vhost_pci_adp *adp, uint64_t bar_addr, uint64_t size)
{
	uint64_t bar_off = vhost_pci_adapter_bar_off(bar_addr);
	unsigned int idx;

	for (idx = 0; idx < VHOST_PCI_ADAPTER_WINDOW_IDX_LOG; idx++) {
		const struct adp_window *window = &adp->window[idx];

		if (window->bytes == 0 || window->bar != vhost_pci_adapter_bar(bar_addr) ||
				bar_off < window->bar_off)
			continue;
		if (bar_off - window->bar_off <= window->bytes &&
				size <= window->bytes - (bar_off - window->bar_off))
			return window;
	}
	return NULL;
}

static uint64_t
now_ps(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000000) + (uint64_t)now.tv_nsec * 1000;
}

/** Time loads of a window: the second time a cache has it all, if one may [ADP-11.9]. */
static unsigned int
measure(const uint8_t *va, uint64_t size)
{
	const vhost_pci_word64 *words = (const void *)((uintptr_t)(va + 7) & ~(uintptr_t)7);
	uint64_t nb_words = (size < MEASURE_BYTES ? size : MEASURE_BYTES) / sizeof(*words);
	uint64_t begin = 0;
	uint64_t i;

	if (nb_words < 2)
		return 0;
	/* A word less: the first one may have been skipped to be aligned. */
	for (i = 0; i < 2 * (nb_words - 1); i++) {
		if (i == nb_words - 1)
			begin = now_ps();
		(void)*(const volatile vhost_pci_word64 *)&words[i % (nb_words - 1)];
	}
	return (unsigned int)((now_ps() - begin) / (nb_words - 1)) + 1;
}

static int
adp_map_region(struct vhost_pci_transport *base, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	struct vhost_pci_adp *adp = ((struct adp_transport *)base)->adp;
	const struct adp_window *window = find_window(adp, mmap_offset, size);
	struct adp_mapping *new_mapping;

	(void)fd;
	if (size == 0 || window == NULL)
		return -EINVAL;
	new_mapping = calloc(1, sizeof(*new_mapping));
	if (new_mapping == NULL)
		return -ENOMEM;
	new_mapping->adp = adp;
	new_mapping->base.refcnt = 1;
	new_mapping->base.va = adp->bar[window->bar].va + vhost_pci_adapter_bar_off(mmap_offset);
	new_mapping->base.size = size;
	new_mapping->base.may_shrink = window->may_shrink;
	new_mapping->base.release = adp_mapping_release;
	__atomic_add_fetch(&adp->refcnt, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&adp->nb_mappings, 1, __ATOMIC_RELAXED);
	if (adp->load_ps == 0)
		adp->load_ps = measure(new_mapping->base.va, size);
	*mapping = &new_mapping->base;
	return 0;
}

/* Notifications and vring state [sections 7 and 13] */

static volatile uint32_t *
adp_doorbell(struct vhost_pci_transport *base, uint32_t request, unsigned int index)
{
	struct vhost_pci_adp *adp = ((struct adp_transport *)base)->adp;

	if (index >= adp->info.nb_vrings)
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

static const struct vhost_pci_transport_ops adp_ops = {
	.recv = adp_recv,
	.send = adp_send,
	.map_region = adp_map_region,
	.doorbell = adp_doorbell,
	.vring_stopped = adp_vring_stopped,
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
	wake(new_transport);
	*transport = &new_transport->base;
	return 0;
}
