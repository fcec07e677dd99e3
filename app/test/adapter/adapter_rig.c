/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adapter_rig.h"
#include "test.h"

/** Longer than a loaded machine may keep a thread waiting: only what has failed takes it. */
#define TIMEOUT_MS 20000u

/* Something has happened that the test may wait for. */
static void
rig_tell(struct adapter_rig *rig, unsigned int *counter)
{
	g_mutex_lock(&rig->mutex);
	(*counter)++;
	g_cond_signal(&rig->cond);
	g_mutex_unlock(&rig->mutex);
}

static void
rig_plug(void *opaque, const char *id, const char *path)
{
	struct adapter_rig *rig = opaque;

	(void)id;
	(void)path;
	rig_tell(rig, &rig->nb_plugged);
}

static void
rig_unplug(void *opaque, const char *id)
{
	struct adapter_rig *rig = opaque;

	(void)id;
	rig_tell(rig, &rig->nb_unplugged);
}

static void
rig_gone(void *opaque, const char *id)
{
	struct adapter_rig *rig = opaque;

	(void)id;
	rig_tell(rig, &rig->nb_gone);
}

static const struct endpoint_plug_ops rig_plug_ops = { rig_plug, rig_unplug, rig_gone };

void
adapter_rig_defaults(struct adapter_rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	g_mutex_init(&rig->mutex);
	g_cond_init(&rig->cond);
	rig->dir = test_dir_make();
	rig->vhost_path = g_build_filename(rig->dir, "vhost.sock", NULL);
	rig->adapter_path = g_build_filename(rig->dir, "vpci-0.sock", NULL);
	rig->config = (struct endpoint_config){
		.name = "vpci",
		.listen_path = rig->vhost_path,
		.socket_dir = rig->dir,
		.virtio_id = 1,
		.features = VHOST_PCI_ADAPTER_NET_FEATURES,
		.protocol_features = VHOST_PCI_ADAPTER_NET_PROTOCOL,
		.nb_vrings = 4,
		.max_frontends = 16,
		.irq = VFU_PCI_IRQ_MSI,
		.log = true,
		.linger_ms = 0,
		.reply_ms = 1000,
	};
}

static void
rig_create(void *opaque)
{
	struct adapter_rig *rig = opaque;

	assert_int_equal(endpoint_create(&rig->config, &rig_plug_ops, rig, &rig->endpoint), 0);
}

void
adapter_rig_start(struct adapter_rig *rig)
{
	loop_thread_start(&rig->thread);
	loop_thread_settle(&rig->thread);
	rig->nb_fds = count_fds();
	loop_thread_call(&rig->thread, rig_create, rig);
}

static void
rig_destroy(void *opaque)
{
	struct adapter_rig *rig = opaque;

	endpoint_destroy(rig->endpoint);
}

void
adapter_rig_stop(struct adapter_rig *rig)
{
	loop_thread_call(&rig->thread, rig_destroy, rig);
	assert_int_equal(count_fds(), rig->nb_fds);
	loop_thread_stop(&rig->thread);
	assert_int_not_equal(access(rig->vhost_path, F_OK), 0);
	assert_int_not_equal(access(rig->adapter_path, F_OK), 0);
	g_mutex_clear(&rig->mutex);
	g_cond_clear(&rig->cond);
	g_free(rig->vhost_path);
	g_free(rig->adapter_path);
	test_dir_remove(rig->dir);
}

void
adapter_rig_settle(struct adapter_rig *rig)
{
	loop_thread_settle(&rig->thread);
	loop_thread_settle(&rig->thread);
}

void
adapter_rig_wait_socket(struct adapter_rig *rig, bool there)
{
	gint64 end = g_get_monotonic_time() + TIMEOUT_MS * INT64_C(1000);

	g_mutex_lock(&rig->mutex);
	while ((access(rig->adapter_path, F_OK) == 0) != there)
		assert_true(g_cond_wait_until(&rig->cond, &rig->mutex, end));
	g_mutex_unlock(&rig->mutex);
	/* bound, but not listening yet */
	adapter_rig_settle(rig);
}

/** What is asked of the first adapter. */
struct rig_query {
	struct adapter_rig *rig;
	unsigned int nb_adapters;
	struct adapter_stats stats;
	struct vfu_device_stats vfu_stats;
	uint32_t state;
};

static void
rig_query_adapter(void *opaque, const struct adapter *adapter)
{
	struct rig_query *query = opaque;

	if (query->nb_adapters++ > 0)
		return;
	query->stats = *adapter_stats(adapter);
	query->vfu_stats = *adapter_vfu_stats(adapter);
	query->state = adapter_state(adapter);
}

static void
rig_query(void *opaque)
{
	struct rig_query *query = opaque;

	endpoint_foreach_adapter(query->rig->endpoint, rig_query_adapter, query);
}

struct adapter_stats
adapter_rig_stats(struct adapter_rig *rig, uint32_t *state)
{
	struct rig_query query = { .rig = rig };

	adapter_rig_settle(rig);
	loop_thread_call(&rig->thread, rig_query, &query);
	if (state != NULL)
		*state = query.state;
	return query.stats;
}

struct vfu_device_stats
adapter_rig_vfu_stats(struct adapter_rig *rig)
{
	struct rig_query query = { .rig = rig };

	loop_thread_call(&rig->thread, rig_query, &query);
	return query.vfu_stats;
}

unsigned int
adapter_rig_nb_adapters(struct adapter_rig *rig)
{
	struct rig_query query = { .rig = rig };

	adapter_rig_settle(rig);
	loop_thread_call(&rig->thread, rig_query, &query);
	return query.nb_adapters;
}

void
adapter_rig_open_frontend(struct adapter_rig *rig, struct tfe_dev *dev)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	conf.path = rig->vhost_path;
	conf.mem_bytes = UINT64_C(16) << 20;
	assert_int_equal(tfe_dev_open(dev, &conf), 0);
}

void
drv_plug(struct drv *drv, struct adapter_rig *rig)
{
	int fds[2];

	memset(drv, 0, sizeof(*drv));
	adapter_rig_wait_socket(rig, true);
	assert_int_equal(vfc_connect(&drv->client, rig->adapter_path), 0);
	assert_int_equal(vfc_plug(&drv->client), 0);
	drv->shared = vfc_map(&drv->client.regions[VFC_BAR0], 0);
	assert_ptr_not_equal(drv->shared, MAP_FAILED);
	if (drv->client.regions[VFC_BAR0].nb_areas > 1) {
		drv->log = vfc_map(&drv->client.regions[VFC_BAR0], 1);
		assert_ptr_not_equal(drv->log, MAP_FAILED);
		drv->log_bytes = drv->client.regions[VFC_BAR0].areas[1].size_bytes;
	}
	drv->memory = vfc_map(&drv->client.regions[VFC_BAR2], 0);
	assert_ptr_not_equal(drv->memory, MAP_FAILED);
	drv->memory_bytes = drv->client.regions[VFC_BAR2].areas[0].size_bytes;
	drv->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	drv->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fds[0] = drv->event_fd;
	fds[1] = drv->kick_fd;
	if (drv->client.irq_type >= 0)
		assert_int_equal(vfc_set_irqs(&drv->client, drv->client.irq_type, 0, fds, 2), 0);
}

void
drv_unplug(struct drv *drv)
{
	munmap(drv->shared, VHOST_PCI_ADAPTER_SHARED_BYTES);
	if (drv->log != NULL)
		munmap(drv->log, drv->log_bytes);
	munmap(drv->memory, drv->memory_bytes);
	close(drv->event_fd);
	close(drv->kick_fd);
	vfc_close(&drv->client);
}

uint32_t
drv_read(struct drv *drv, uint32_t offset)
{
	return vfc_read32(&drv->client, VFC_BAR0, offset);
}

void
drv_write(struct drv *drv, uint32_t offset, uint32_t value)
{
	assert_int_equal(vfc_write32(&drv->client, VFC_BAR0, offset, value), 0);
}

static void
drv_init_rings(struct drv *drv)
{
	uint32_t off = VHOST_PCI_ADAPTER_SHARED_OFF;

	assert_int_equal(vhost_pci_msgring_init(&drv->f2b,
					 (void *)(drv->shared +
							 drv_read(drv, DRV_REG(f2b_ctrl_off)) -
							 off),
					 drv->shared + drv_read(drv, DRV_REG(f2b_data_off)) - off,
					 drv_read(drv, DRV_REG(f2b_bytes)),
					 drv_read(drv, DRV_REG(msg_bytes_max))),
			0);
	assert_int_equal(vhost_pci_msgring_init(&drv->b2f,
					 (void *)(drv->shared +
							 drv_read(drv, DRV_REG(b2f_ctrl_off)) -
							 off),
					 drv->shared + drv_read(drv, DRV_REG(b2f_data_off)) - off,
					 drv_read(drv, DRV_REG(b2f_bytes)),
					 drv_read(drv, DRV_REG(msg_bytes_max))),
			0);
}

void
drv_init(struct drv *drv, uint64_t features, bool ready)
{
	const uint32_t up = VHOST_PCI_ADAPTER_STATUS_DRIVER | VHOST_PCI_ADAPTER_STATUS_FEATURES_OK;

	assert_int_equal(drv_read(drv, DRV_REG(magic)), VHOST_PCI_ADAPTER_MAGIC);
	assert_int_equal(drv_read(drv, DRV_REG(version)), VHOST_PCI_ADAPTER_VERSION);
	drv_write(drv, DRV_REG(device_status), 0);
	assert_int_equal(drv_read(drv, DRV_REG(device_status)), 0);
	drv_write(drv, DRV_REG(device_status), VHOST_PCI_ADAPTER_STATUS_DRIVER);
	drv_write(drv, DRV_REG(driver_features_lo), (uint32_t)features);
	drv_write(drv, DRV_REG(driver_features_hi), features >> 32);
	drv_write(drv, DRV_REG(device_status), up);
	assert_int_equal(drv_read(drv, DRV_REG(device_status)), up);
	drv_init_rings(drv);
	if (drv->client.irq_type >= 0) {
		drv_write(drv, DRV_REG(event_vector), 0);
		for (uint32_t i = 0; i < drv_read(drv, DRV_REG(nb_vrings)); i++)
			drv_write(drv, DRV_VRING_REG(i, vector), 1);
	}
	if (ready)
		drv_write(drv, DRV_REG(device_status), up | VHOST_PCI_ADAPTER_STATUS_DRIVER_READY);
}

uint64_t
drv_wait_fd(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	uint64_t value = 0;

	if (poll(&pfd, 1, TIMEOUT_MS) != 1)
		fail_msg("no interrupt within %u ms", TIMEOUT_MS);
	assert_int_equal(read(fd, &value, sizeof(value)), sizeof(value));
	return value;
}

/* Without interrupts the event counter is looked at, which costs no exit [ADP-6.6]. */
static void
drv_poll_event(struct drv *drv)
{
	const struct vhost_pci_adapter_shared *shared = (void *)drv->shared;
	int64_t end = g_get_monotonic_time() + TIMEOUT_MS * INT64_C(1000);
	uint32_t seq = drv->event_seq;

	while ((drv->event_seq = vhost_pci_load_acquire(&shared->counters.event_seq)) == seq) {
		assert_true(g_get_monotonic_time() < end);
		sched_yield();
	}
}

/* Say what the device shows, of which no event has come. */
static void
drv_fail_event(struct drv *drv)
{
	const struct vhost_pci_adapter_shared *shared = (void *)drv->shared;

	fail_msg("no event within %u ms: status %#x, connection %u, vector %u, event %u, "
		 "front-end to back-end %u of %u, features %#x%08x, protocol %#x",
			TIMEOUT_MS, drv_read(drv, DRV_REG(device_status)),
			drv_read(drv, DRV_REG(conn_state)), drv_read(drv, DRV_REG(event_vector)),
			vhost_pci_load_acquire(&shared->counters.event_seq), drv->f2b.own_idx,
			vhost_pci_load_acquire(&drv->f2b.ctrl->prod_idx),
			drv_read(drv, DRV_REG(offered_features_hi)),
			drv_read(drv, DRV_REG(offered_features_lo)),
			drv_read(drv, DRV_REG(offered_protocol_lo)));
}

void
drv_wait_event(struct drv *drv)
{
	struct pollfd pfd = { .fd = drv->event_fd, .events = POLLIN };

	if (drv->client.irq_type < 0) {
		drv_poll_event(drv);
		return;
	}
	if (poll(&pfd, 1, TIMEOUT_MS) != 1)
		drv_fail_event(drv);
	drv_wait_fd(drv->event_fd);
}

void
drv_wait_reg(struct drv *drv, uint32_t offset, uint32_t value)
{
	while (drv_read(drv, offset) != value)
		drv_wait_event(drv);
}

void
drv_recv(struct drv *drv, struct vhost_pci_msg *msg, struct vhost_pci_adapter_frame *frame)
{
	int ret;

	while ((ret = vhost_pci_msgring_dequeue(&drv->f2b, msg, frame)) == -EAGAIN) {
		/* [ADP-8.7] */
		drv_write(drv, DRV_BELL(msg_notify), 0);
		if (!drv_is_empty(drv))
			continue;
		drv_wait_event(drv);
	}
	assert_int_equal(ret, 0);
}

void
drv_expect(struct drv *drv, struct vhost_pci_msg *msg, uint32_t request, uint16_t flags)
{
	struct vhost_pci_adapter_frame frame;

	drv_recv(drv, msg, &frame);
	assert_int_equal(msg->hdr.request, request);
	assert_int_equal(frame.flags, flags);
}

unsigned int
drv_recv_replay(struct drv *drv, uint32_t last)
{
	struct vhost_pci_adapter_frame frame;
	struct vhost_pci_msg msg;
	unsigned int nb = 0;

	do {
		drv_recv(drv, &msg, &frame);
		assert_int_equal(frame.flags,
				VHOST_PCI_ADAPTER_FRAME_REPLAY | VHOST_PCI_ADAPTER_FRAME_ANSWERED);
		nb++;
	} while (msg.hdr.request != last);
	return nb;
}

void
adapter_rig_open_all(struct adapter_rig *rig, struct tfe_dev *dev, struct drv *drv)
{
	adapter_rig_start(rig);
	adapter_rig_open_frontend(rig, dev);
	drv_plug(drv, rig);
	drv_init(drv, drv_read(drv, DRV_REG(device_features_lo)), true);
	drv_recv_replay(drv, VHOST_USER_SET_STATUS);
}

bool
drv_is_empty(struct drv *drv)
{
	return vhost_pci_load_acquire(&drv->f2b.ctrl->prod_idx) == drv->f2b.own_idx;
}

void
drv_send(struct drv *drv, const struct vhost_pci_msg *msg, uint64_t conn_id)
{
	assert_int_equal(vhost_pci_msgring_enqueue(&drv->b2f, msg, 0, conn_id), 0);
	drv_write(drv, DRV_BELL(msg_notify), 0);
}

void
drv_reply_u64(struct drv *drv, uint32_t request, uint64_t value, uint64_t conn_id)
{
	struct vhost_pci_msg reply;

	vhost_pci_codec_make_reply(&reply, request, sizeof(value));
	reply.payload.u64 = value;
	drv_send(drv, &reply, conn_id);
}
