/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vhost_pci_log.h"
#include "vhost_pci_transport_adapter_priv.h"

/** Adapter features that this driver knows; F_STATIC informs [ADP-4.5]. */
#define FEATURES_KNOWN \
	(VHOST_PCI_ADAPTER_F_STATIC | VHOST_PCI_ADAPTER_F_LOG | \
			VHOST_PCI_ADAPTER_F_BACKEND_CHANNEL | VHOST_PCI_ADAPTER_F_PEER_CONNECTION)

/** Reads of a state that changes meanwhile, before it is left to the next look [ADP-12.4]. */
#define GENERATION_TRIES 8

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
	uint32_t magic = adp_reg_read(&adp->regs->magic);

	if (magic != VHOST_PCI_ADAPTER_MAGIC) {
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: %s (magic 0x%08x)", adp->name,
				magic == VHOST_PCI_ADAPTER_GONE ? "the device does not answer"
								: "no vhost-pci adapter",
				magic);
		return -ENODEV;
	}
	adp->info.version = adp_reg_read(&adp->regs->version);
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

	adp_reg_write(&regs->device_status, 0);
	if (adp_reg_read(&regs->device_status) != 0) {
		vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: the adapter can't be reset", adp->name);
		return -EIO;
	}
	status = VHOST_PCI_ADAPTER_STATUS_DRIVER;
	adp_reg_write(&regs->device_status, status);
	adp->info.device_features = adp_reg_read64(&regs->device_features_lo);
	adp_reg_write64(&regs->driver_features_lo, adp->info.device_features & FEATURES_KNOWN);
	status |= VHOST_PCI_ADAPTER_STATUS_FEATURES_OK;
	adp_reg_write(&regs->device_status, status);
	/* [ADP-4.3] */
	if (adp_reg_read(&regs->device_status) != status) {
		adp_reg_write(&regs->device_status, status | VHOST_PCI_ADAPTER_STATUS_FAILED);
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

	info->nb_vrings = adp_reg_read(&regs->nb_vrings);
	info->nb_vectors = adp_reg_read(&regs->nb_vectors);
	info->virtio_id = (uint16_t)adp_reg_read(&regs->virtio_id);
	info->offered_features = adp_reg_read64(&regs->offered_features_lo);
	info->offered_protocol = adp_reg_read64(&regs->offered_protocol_lo);
	if (info->nb_vrings == 0 || info->nb_vrings > VHOST_PCI_ADAPTER_VRINGS_MAX ||
			info->nb_vectors > VHOST_PCI_ADAPTER_VECTORS_MAX)
		return -EINVAL;
	return 0;
}

/** Set up one end of a message ring by three registers: control, data, size. */
static int
init_ring(struct vhost_pci_adp *adp, struct vhost_pci_msgring *ring, const uint32_t *regs)
{
	uint32_t ctrl_off = adp_reg_read(&regs[0]);
	uint32_t data_off = adp_reg_read(&regs[1]);
	uint32_t bytes = adp_reg_read(&regs[2]);
	void *ctrl = bar0_part(adp, ctrl_off, sizeof(struct vhost_pci_adapter_ring_ctrl),
			VHOST_PCI_ADAPTER_RING_ALIGN);
	void *data = bar0_part(adp, data_off, bytes, VHOST_PCI_ADAPTER_RING_ALIGN);

	if (ctrl == NULL || data == NULL)
		return -EINVAL;
	return vhost_pci_msgring_init(ring, ctrl, data, bytes,
			adp_reg_read(&adp->regs->msg_bytes_max));
}

static int
find_shared(struct vhost_pci_adp *adp)
{
	const struct vhost_pci_adapter_regs *regs = adp->regs;
	int ret;

	adp->counters = bar0_part(adp, adp_reg_read(&regs->counters_off), sizeof(*adp->counters),
			sizeof(uint32_t));
	adp->vring_state = bar0_part(adp, adp_reg_read(&regs->vring_state_off),
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

void
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
		adp_reg_write(&adp->regs->device_status, 0);
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

	adp_reg_write(&adp->regs->event_vector, config->event_vector);
	for (i = 0; config->vector != NULL && i < config->nb_vrings; i++)
		adp_reg_write(&adp->vring_regs[i].vector, config->vector[i]);
}

static void
write_local(struct vhost_pci_adp *adp)
{
	adp_reg_write(&adp->regs->local_connection,
			adp->local_off ? VHOST_PCI_ADAPTER_PEER_OFF : VHOST_PCI_ADAPTER_PEER_ON);
}

static int
get_ready(struct vhost_pci_adp *adp)
{
	static const uint32_t ready = VHOST_PCI_ADAPTER_STATUS_DRIVER |
			VHOST_PCI_ADAPTER_STATUS_FEATURES_OK |
			VHOST_PCI_ADAPTER_STATUS_DRIVER_READY;
	struct vhost_pci_adapter_regs *regs = adp->regs;
	uint32_t status;

	adp_reg_write64(&regs->driver_cap_features_lo, adp->config.features);
	adp_reg_write64(&regs->driver_cap_protocol_lo, adp->config.protocol_features);
	adp_reg_write(&regs->driver_cap_vrings, adp->config.nb_vrings);
	write_local(adp);
	write_vectors(adp);
	adp->event_seq = vhost_pci_load_acquire(&adp->counters->event_seq);
	adp_reg_write(&regs->device_status, ready);
	status = adp_reg_read(&regs->device_status);
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

enum vhost_pci_adp_state
adp_set_state(struct vhost_pci_adp *adp, enum vhost_pci_adp_state state, const char *why)
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
		generation = adp_reg_read(&regs->conn_generation);
		adp->conn_state = adp_reg_read(&regs->conn_state);
		adp->conn_id = adp_reg_read64(&regs->conn_id_lo);
		adp->peer = adp_reg_read(&regs->peer_connection);
		if (adp->conn_state == VHOST_PCI_ADAPTER_GONE ||
				adp_reg_read(&regs->conn_generation) == generation)
			return true;
	}
	return false;
}

static enum vhost_pci_adp_state
read_state(struct vhost_pci_adp *adp)
{
	uint32_t status = adp_reg_read(&adp->regs->device_status);

	adp->look = !read_conn(adp);
	if (adp->conn_state == VHOST_PCI_ADAPTER_GONE || status == VHOST_PCI_ADAPTER_GONE)
		return adp_set_state(adp, VHOST_PCI_ADP_GONE, "the device is gone");
	if ((status & VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET) != 0)
		return adp_set_state(adp, VHOST_PCI_ADP_BROKEN, "the device needs a reset");
	if ((status & VHOST_PCI_ADAPTER_STATUS_DRIVER_READY) == 0)
		return adp_set_state(adp, VHOST_PCI_ADP_BROKEN, "the device was reset by others");
	if (adp->conn_state > VHOST_PCI_ADAPTER_CONN_RETIRED)
		return adp_set_state(adp, VHOST_PCI_ADP_BROKEN, "the device is in no known state");
	if (adp->conn_state == VHOST_PCI_ADAPTER_CONN_RETIRED)
		return adp_set_state(adp, VHOST_PCI_ADP_RETIRED,
				"the device has no more front-ends: it is to be unplugged");
	/* A session that was ended here is no session, as long as it takes the device. */
	if (adp->conn_state == VHOST_PCI_ADAPTER_CONN_CONNECTED && adp->conn_id != adp->ended_id)
		return adp_set_state(adp, VHOST_PCI_ADP_CONNECTED, NULL);
	return adp_set_state(adp, VHOST_PCI_ADP_IDLE, NULL);
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

bool
adp_is_over(const struct adp_transport *transport)
{
	return transport->adp->state != VHOST_PCI_ADP_CONNECTED ||
			transport->conn_id != transport->adp->conn_id;
}

void
adp_wake(const struct adp_transport *transport)
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
	adp_reg_write(&adp->regs->conn_control, VHOST_PCI_ADAPTER_CONTROL_RELEASE);
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
			(adp_is_over(transport) || adp->has_pending ||
					vhost_pci_load_relaxed(&adp->f2b.ctrl->prod_idx) !=
							adp->f2b.own_idx))
		adp_wake(transport);
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
	adp_reg_write(&adp->regs->conn_control, VHOST_PCI_ADAPTER_CONTROL_CLOSE);
}

bool
vhost_pci_adp_peer_on(const struct vhost_pci_adp *adp)
{
	if ((adp->info.device_features & VHOST_PCI_ADAPTER_F_PEER_CONNECTION) == 0)
		return true;
	return !adp->local_off && adp->peer == VHOST_PCI_ADAPTER_PEER_ON;
}

void
vhost_pci_adp_set_local_on(struct vhost_pci_adp *adp, bool on)
{
	if (adp->local_off == !on)
		return;
	adp->local_off = !on;
	if (adp->state != VHOST_PCI_ADP_GONE)
		write_local(adp);
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
