/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_ring.h>

#include "vhost_pci_dirty.h"
#include "vhost_pci_session.h"

#include "test.h"
#include "test_util.h"
#include "transport_adapter_rig.h"

/* Windows */

static int
map(struct adp_rig *f, uint64_t bar_addr, uint64_t size, struct vhost_pci_mapping **mapping)
{
	return f->transport->ops->map_region(f->transport, -1, bar_addr, size, mapping);
}

static void
test_region_is_where_its_bar_address_says(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_mapping *mapping;

	assert_int_equal(map(f, vhost_pci_adapter_bar_addr(2, ADP_RIG_WINDOW_OFF),
					 ADP_RIG_WINDOW_SIZE, &mapping),
			0);
	assert_ptr_equal(mapping->va, f->bar[2].va + ADP_RIG_WINDOW_OFF);
	assert_int_equal(mapping->size, ADP_RIG_WINDOW_SIZE);
	assert_false(mapping->may_shrink);
	assert_true(vhost_pci_adp_load_ps(f->adp) > 0);
	vhost_pci_mapping_put(mapping);
	/* Not aligned, and too small to be measured. */
	assert_int_equal(map(f,
					 vhost_pci_adapter_bar_addr(2,
							 ADP_RIG_WINDOW_OFF + ADP_RIG_WINDOW_SIZE -
									 3),
					 3, &mapping),
			0);
	vhost_pci_mapping_put(mapping);
	assert_int_equal(vhost_pci_adp_nb_mappings(f->adp), 0);
}

static void
test_region_outside_of_its_window_is_refused(void **state)
{
	static const struct {
		unsigned int bar;
		uint64_t bar_off;
		uint64_t size;
	} cases[] = {
		{ 2, ADP_RIG_WINDOW_OFF, ADP_RIG_WINDOW_SIZE + 1 },
		{ 2, ADP_RIG_WINDOW_OFF, 0 },
		{ 2, ADP_RIG_WINDOW_OFF, UINT64_MAX },
		{ 2, ADP_RIG_WINDOW_OFF - 1, 16 },
		{ 2, 0, 4096 },
		{ 2, ADP_RIG_WINDOW_OFF + ADP_RIG_WINDOW_SIZE, 1 },
		{ 2, ADP_RIG_WINDOW_OFF + ADP_RIG_WINDOW_SIZE - 1, 2 },
		{ 2, VHOST_PCI_ADAPTER_BAR_OFF_MASK, 1 },
		{ 0, ADP_RIG_WINDOW_OFF, 4096 },
		{ 4, ADP_RIG_WINDOW_OFF, 4096 },
		{ 6, ADP_RIG_WINDOW_OFF, 4096 },
		{ 255, ADP_RIG_WINDOW_OFF, 4096 },
	};
	struct adp_rig *f = *state;
	struct vhost_pci_mapping *mapping = NULL;

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(map(f, vhost_pci_adapter_bar_addr(cases[i].bar, cases[i].bar_off),
						 cases[i].size, &mapping),
				-EINVAL);
	assert_null(mapping);
}

/** Make a transport while window 0 is something else; then it is as it was again. */
static int
open_with_window(struct adp_rig *f, uint32_t info, uint64_t off, uint64_t bytes)
{
	struct vhost_pci_adapter_window *window = &f->regs->window[0];
	int ret;

	window->info = info;
	adp_rig_set64(&window->offset_lo, off);
	adp_rig_set64(&window->bytes_lo, bytes);
	ret = vhost_pci_adp_open(f->adp, &f->transport);
	adp_rig_init_window(f);
	return ret;
}

static void
test_window_outside_of_its_bar_is_refused(void **state)
{
	struct adp_rig *f = *state;
	uint32_t mem = VHOST_PCI_ADAPTER_WINDOW_INFO(2, VHOST_PCI_ADAPTER_WINDOW_MEM);
	uint32_t bar4 = VHOST_PCI_ADAPTER_WINDOW_INFO(4, VHOST_PCI_ADAPTER_WINDOW_MEM);
	uint32_t bar0 = VHOST_PCI_ADAPTER_WINDOW_INFO(0, VHOST_PCI_ADAPTER_WINDOW_MEM);
	uint32_t bar6 = VHOST_PCI_ADAPTER_WINDOW_INFO(6, VHOST_PCI_ADAPTER_WINDOW_MEM);

	adp_rig_start(f);
	adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID);
	assert_int_equal(open_with_window(f, mem, 0, ADP_RIG_BAR2_BYTES + 1), -EINVAL);
	assert_int_equal(open_with_window(f, mem, ADP_RIG_BAR2_BYTES + 0x1000, 1), -EINVAL);
	assert_int_equal(open_with_window(f, mem, 0x1000, UINT64_MAX), -EINVAL);
	assert_int_equal(open_with_window(f, mem, UINT64_MAX << 12, 0x1000), -EINVAL);
	assert_int_equal(open_with_window(f, mem, 0x1001, 0x1000), -EINVAL);
	assert_int_equal(open_with_window(f, bar4, 0, 0x1000), -EINVAL);
	assert_int_equal(open_with_window(f, bar0, 0x10000, 0x1000), -EINVAL);
	assert_int_equal(open_with_window(f, bar6, 0, 0x1000), -EINVAL);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), 0);
}

static void
test_absent_window_holds_nothing(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_mapping *mapping;

	adp_rig_start(f);
	adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID);
	/* What else an absent one says is nobody's business. */
	assert_int_equal(open_with_window(f, 0, UINT64_MAX, UINT64_MAX), 0);
	assert_int_equal(map(f, vhost_pci_adapter_bar_addr(2, ADP_RIG_WINDOW_OFF), 4096, &mapping),
			-EINVAL);
}

static void
test_mapping_outlives_the_adapter(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_mapping *mapping;

	assert_int_equal(map(f, vhost_pci_adapter_bar_addr(2, ADP_RIG_WINDOW_OFF), 4096, &mapping),
			0);
	vhost_pci_transport_close(f->transport);
	f->transport = NULL;
	vhost_pci_adp_destroy(f->adp);
	f->adp = NULL;
	memset(mapping->va, 1, mapping->size);
	vhost_pci_mapping_put(mapping);
}

/* With a session */

static int
on_map_region(void *opaque, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	struct adp_rig *f = opaque;

	return f->transport->ops->map_region(f->transport, fd, mmap_offset, size, mapping);
}

static int
on_map_log(void *opaque, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	struct adp_rig *f = opaque;

	return f->transport->ops->map_log(f->transport, fd, mmap_offset, size, mapping);
}

static volatile uint32_t *
on_find_doorbell(void *opaque, uint32_t request, unsigned int index)
{
	struct adp_rig *f = opaque;

	return f->transport->ops->doorbell(f->transport, request, index);
}

static void
on_vring_stopped(void *opaque, const struct vhost_pci_vring *vr)
{
	struct adp_rig *f = opaque;

	f->transport->ops->vring_stopped(f->transport, vr->index, vr->base);
}

/* Log [section 11.3] */

static int
map_log(struct adp_rig *f, unsigned int bar, uint64_t bar_off, uint64_t size)
{
	struct vhost_pci_mapping *mapping;
	int ret = f->transport->ops->map_log(f->transport, -1,
			vhost_pci_adapter_bar_addr(bar, bar_off), size, &mapping);

	if (ret < 0)
		return ret;
	assert_ptr_equal(mapping->va, f->bar[bar].va + bar_off);
	vhost_pci_mapping_put(mapping);
	return 0;
}

static void
test_log_is_in_its_window_only(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_mapping *mapping;

	adp_rig_set_log(f, 0, ADP_RIG_LOG_OFF, ADP_RIG_LOG_BYTES);
	adp_rig_start(f);
	adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), 0);
	assert_int_equal(map_log(f, 0, ADP_RIG_LOG_OFF, ADP_RIG_LOG_BYTES), 0);
	assert_int_equal(map_log(f, 0, ADP_RIG_LOG_OFF, 64), 0);
	assert_int_equal(map_log(f, 0, ADP_RIG_LOG_OFF, ADP_RIG_LOG_BYTES + 1), -EINVAL);
	assert_int_equal(map_log(f, 0, ADP_RIG_LOG_OFF, 0), -EINVAL);
	assert_int_equal(map_log(f, 0, ADP_RIG_LOG_OFF - 8, 64), -EINVAL);
	assert_int_equal(map_log(f, 0, 0, 64), -EINVAL);
	/* Nor is memory of the front-end a log, or the log its memory. */
	assert_int_equal(map_log(f, 2, ADP_RIG_WINDOW_OFF, 64), -EINVAL);
	assert_int_equal(map(f, vhost_pci_adapter_bar_addr(0, ADP_RIG_LOG_OFF), 64, &mapping),
			-EINVAL);
}

static void
test_log_window_outside_of_its_bar_is_refused(void **state)
{
	struct adp_rig *f = *state;

	adp_rig_start(f);
	adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID);
	adp_rig_set_log(f, 0, ADP_RIG_LOG_OFF, ADP_RIG_BAR0_BYTES);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), -EINVAL);
	adp_rig_set_log(f, 4, 0, ADP_RIG_LOG_BYTES);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), -EINVAL);
	adp_rig_set_log(f, 0, ADP_RIG_LOG_OFF + 8, 64);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), -EINVAL);
}

/* Back-end channel [section 9.5] */

static struct vhost_pci_transport *
open_channel(struct adp_rig *f)
{
	struct vhost_pci_transport *channel;

	assert_int_equal(f->transport->ops->open_channel(f->transport, -1, &channel), 0);
	return channel;
}

static struct vhost_pci_msg
make_miss(void)
{
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_BACKEND_IOTLB_MSG,
			sizeof(msg.payload.iotlb));

	msg.hdr.flags |= VHOST_USER_NEED_REPLY;
	msg.payload.iotlb.iova = 0x1000;
	return msg;
}

/** The front-end's reply, as the device relays it. */
static void
put_channel_reply(struct adp_rig *f, uint32_t request, uint64_t value)
{
	struct vhost_pci_msg msg;

	vhost_pci_codec_make_reply(&msg, request, sizeof(value));
	msg.payload.u64 = value;
	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID);
}

static void
test_channel_request_and_reply_cross_the_rings(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_transport *channel = open_channel(f);
	struct vhost_pci_msg msg = make_miss();

	assert_int_equal(vhost_pci_transport_send(channel, &msg), 0);
	assert_int_equal(adp_rig_get_reply(f, &msg), 0);
	assert_int_equal(msg.hdr.request, VHOST_USER_BACKEND_IOTLB_MSG);
	assert_int_equal(msg.hdr.flags, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY);
	assert_int_equal(msg.payload.iotlb.iova, 0x1000);
	assert_int_equal(vhost_pci_transport_recv(channel, &msg), -EAGAIN);
	/* It is no message of the session, and does not hide one that is. */
	put_channel_reply(f, VHOST_USER_BACKEND_IOTLB_MSG, 9);
	adp_rig_put_u64(f, VHOST_USER_SET_STATUS, 1, 0, 0);
	msg = adp_rig_expect_msg(f, VHOST_USER_SET_STATUS);
	assert_int_equal(vhost_pci_transport_recv(channel, &msg), 1);
	assert_int_equal(msg.payload.u64, 9);
	assert_int_equal(vhost_pci_transport_recv(channel, &msg), -EAGAIN);
	vhost_pci_transport_close(channel);
}

/** Replies beyond the one, malformed ones, and those without a channel leave nothing behind. */
static void
test_channel_replies_that_nobody_waits_for(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_transport *channel;
	struct vhost_pci_msg msg;

	put_channel_reply(f, VHOST_USER_BACKEND_IOTLB_MSG, 1);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EAGAIN);
	channel = open_channel(f);
	assert_int_equal(vhost_pci_transport_recv(channel, &msg), -EAGAIN);
	vhost_pci_codec_make_reply(&msg, VHOST_USER_BACKEND_IOTLB_MSG, 4);
	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID);
	for (unsigned int i = 0; i < 100; i++)
		put_channel_reply(f, VHOST_USER_BACKEND_IOTLB_MSG, i);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EAGAIN);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EAGAIN);
	assert_int_equal(vhost_pci_transport_recv(channel, &msg), 1);
	assert_int_equal(msg.payload.u64, 0);
	assert_int_equal(vhost_pci_transport_recv(channel, &msg), -EAGAIN);
	vhost_pci_transport_close(channel);
}

/** What needs an fd, or is a doorbell here, is not sent; nor is what finds no room. */
static void
test_channel_requests_that_do_not_travel(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_transport *channel = open_channel(f);
	struct vhost_pci_msg msg;
	int ret = 0;

	for (uint32_t id = VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG;
			id < VHOST_USER_BACKEND_REQUEST_MAX; id++) {
		msg = adp_rig_make_msg(id, 8);
		assert_int_equal(vhost_pci_transport_send(channel, &msg), -EOPNOTSUPP);
	}
	assert_int_equal(adp_rig_get_reply(f, &msg), -EAGAIN);
	for (unsigned int i = 0; ret == 0 && i < 1000; i++) {
		msg = make_miss();
		ret = vhost_pci_transport_send(channel, &msg);
	}
	assert_int_equal(ret, -EAGAIN);
	vhost_pci_transport_close(channel);
}

/** The session ends first, or another channel comes: the former one says that it is closed. */
static void
test_channel_that_is_over(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_transport *first = open_channel(f), *second = open_channel(f);
	struct vhost_pci_msg msg = make_miss();

	assert_int_equal(vhost_pci_transport_recv(first, &msg), 0);
	assert_int_equal(vhost_pci_transport_send(first, &msg), -ENOTCONN);
	assert_int_equal(vhost_pci_transport_send(second, &msg), 0);
	vhost_pci_transport_close(first);
	vhost_pci_transport_close(f->transport);
	f->transport = NULL;
	assert_int_equal(vhost_pci_transport_recv(second, &msg), 0);
	assert_int_equal(vhost_pci_transport_send(second, &msg), -ENOTCONN);
	vhost_pci_transport_close(second);
}

/** A device without the feature has none, which is nobody's fault. */
static void
test_no_channel_without_the_feature(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_transport *channel;

	f->regs->device_features_lo &= ~(uint32_t)VHOST_PCI_ADAPTER_F_BACKEND_CHANNEL;
	adp_rig_start(f);
	adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), 0);
	assert_int_equal(f->transport->ops->open_channel(f->transport, -1, &channel), -ENOTSUP);
}

static struct vhost_pci_session *
make_session(struct adp_rig *f)
{
	static const struct vhost_pci_session_ops ops = {
		.map_region = on_map_region,
		.map_log = on_map_log,
		.find_doorbell = on_find_doorbell,
		.vring_stopped = on_vring_stopped,
	};
	struct vhost_pci_session_config config = {
		.features = ADP_RIG_FEATURES | UINT64_C(1) << VHOST_F_LOG_ALL,
		.protocol_features = ADP_RIG_PROTOCOL | VHOST_USER_PROTOCOL_MASK(LOG_SHMFD),
		.max_queue_pairs = ADP_RIG_NB_VRINGS / 2,
		.max_queue_size = 256,
		.name = "test",
	};
	struct vhost_pci_session *session;

	assert_int_equal(vhost_pci_session_create(&config, &ops, f, &session), 0);
	vhost_pci_session_set_admin_up(session, true);
	return session;
}

static void
put_state(struct adp_rig *f, uint32_t request, uint32_t index, uint32_t num, uint16_t flags)
{
	struct vhost_pci_msg msg = adp_rig_make_msg(request, sizeof(msg.payload.state));

	msg.payload.state.index = index;
	msg.payload.state.num = num;
	adp_rig_put_msg(f, &msg, flags, ADP_RIG_CONN_ID);
}

#define UVA       UINT64_C(0x7f0000000000)
#define RING_SIZE 64

static void
replay_mem_table(struct adp_rig *f, uint16_t flags)
{
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_SET_MEM_TABLE,
			offsetof(struct vhost_user_mem_table, region) +
					sizeof(struct vhost_user_mem_region));

	msg.payload.mem_table.nb_regions = 1;
	msg.payload.mem_table.region[0] = (struct vhost_user_mem_region){
		.gpa = 0,
		.size = ADP_RIG_WINDOW_SIZE,
		.uva = UVA,
		.mmap_offset = vhost_pci_adapter_bar_addr(2, ADP_RIG_WINDOW_OFF),
	};
	msg.nb_fds = 1;
	adp_rig_put_msg(f, &msg, flags, ADP_RIG_CONN_ID);
}

static void
replay_vring(struct adp_rig *f, unsigned int index, uint16_t flags)
{
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_SET_VRING_ADDR,
			sizeof(struct vhost_vring_addr));

	put_state(f, VHOST_USER_SET_VRING_NUM, index, RING_SIZE, flags);
	put_state(f, VHOST_USER_SET_VRING_BASE, index, 5, flags);
	msg.payload.addr.index = index;
	msg.payload.addr.desc_user_addr = UVA + index * 0x4000;
	msg.payload.addr.avail_user_addr = UVA + index * 0x4000 + 0x1000;
	msg.payload.addr.used_user_addr = UVA + index * 0x4000 + 0x2000;
	adp_rig_put_msg(f, &msg, flags, ADP_RIG_CONN_ID);
	adp_rig_put_u64(f, VHOST_USER_SET_VRING_CALL, index, 1, flags);
	adp_rig_put_u64(f, VHOST_USER_SET_VRING_ERR, index, 1, flags);
	put_state(f, VHOST_USER_SET_VRING_ENABLE, index, 1, flags);
	adp_rig_put_u64(f, VHOST_USER_SET_VRING_KICK, index, 1, flags);
}

/** The used index that the front-end has in its memory is the base. */
static void
set_used(struct adp_rig *f, unsigned int index, uint16_t used_idx)
{
	struct vring_used *used = (void *)(f->bar[2].va + ADP_RIG_WINDOW_OFF + index * 0x4000 +
			0x2000);

	used->idx = used_idx;
}

/** Put a whole session on the ring, in the order of [ADP-9.10]. */
static void
replay(struct adp_rig *f)
{
	static const uint16_t flags = VHOST_PCI_ADAPTER_FRAME_REPLAY |
			VHOST_PCI_ADAPTER_FRAME_ANSWERED;
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_SET_OWNER, 0);

	adp_rig_put_msg(f, &msg, flags, ADP_RIG_CONN_ID);
	msg.hdr.request = VHOST_USER_GET_FEATURES;
	adp_rig_put_msg(f, &msg, flags, ADP_RIG_CONN_ID);
	adp_rig_put_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES,
			ADP_RIG_PROTOCOL | VHOST_USER_PROTOCOL_MASK(LOG_SHMFD), 0, flags);
	adp_rig_put_u64(f, VHOST_USER_SET_FEATURES, ADP_RIG_FEATURES | ADP_RIG_F_PROTOCOL, 0,
			flags);
	replay_mem_table(f, flags);
	for (unsigned int i = 0; i < 2; i++) {
		set_used(f, i, 5);
		replay_vring(f, i, flags);
	}
}

/** Hand all that is on the ring to the session, as a port does. */
static int
serve(struct adp_rig *f, struct vhost_pci_session *session)
{
	struct vhost_pci_msg msg, reply;
	int ret;

	for (;;) {
		ret = adp_rig_recv_msg(f, &msg);
		if (ret <= 0)
			return ret;
		ret = vhost_pci_session_handle(session, &msg, &reply);
		if (ret == 1)
			ret = vhost_pci_transport_send(f->transport, &reply);
		if (ret < 0)
			return ret;
	}
}

static void
test_replayed_session_gets_ready(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_session *session = make_session(f);
	struct vhost_pci_msg msg;
	struct vhost_pci_vring *vr;

	replay(f);
	assert_int_equal(serve(f, session), -EAGAIN);
	assert_true(vhost_pci_session_is_ready(session));
	/* Nobody is answered: the device has answered all. */
	assert_int_equal(adp_rig_get_reply(f, &msg), -EAGAIN);
	vr = vhost_pci_session_vring(session, 1);
	assert_true(vr->kick_fd >= 0);
	assert_ptr_equal(vr->split.used, f->bar[2].va + ADP_RIG_WINDOW_OFF + 0x4000 + 0x2000);
	f->doorbells->call[1] = 77;
	vhost_pci_notifier_signal(&vr->call);
	assert_int_equal(f->doorbells->call[1], 1);
	f->doorbells->err[1] = 77;
	vhost_pci_notifier_signal(&vr->err);
	assert_int_equal(f->doorbells->err[1], 1);
	/* The vrings are mapped by the window, and it is known how fast that is. */
	assert_int_equal(vhost_pci_adp_nb_mappings(f->adp), 1);
	vhost_pci_session_destroy(session);
	assert_int_equal(vhost_pci_adp_nb_mappings(f->adp), 0);
}

/** Logging on: what is written is marked in the device's window, whose log it is to merge. */
static void
test_log_of_a_migration_is_the_window(void **state)
{
	static const uint64_t log_all = UINT64_C(1) << VHOST_F_LOG_ALL;
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_SET_LOG_BASE,
			sizeof(msg.payload.log));
	struct adp_rig *f = *state;
	struct vhost_pci_session *session;
	struct vhost_pci_vring *vr;

	adp_rig_set_log(f, 0, ADP_RIG_LOG_OFF, ADP_RIG_LOG_BYTES);
	adp_rig_start(f);
	adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), 0);
	session = make_session(f);
	replay(f);
	msg.payload.log.size = ADP_RIG_LOG_BYTES;
	msg.payload.log.mmap_offset = vhost_pci_adapter_bar_addr(0, ADP_RIG_LOG_OFF);
	msg.nb_fds = 1;
	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID);
	adp_rig_put_u64(f, VHOST_USER_SET_FEATURES, ADP_RIG_FEATURES | ADP_RIG_F_PROTOCOL | log_all,
			0, 0);
	assert_int_equal(serve(f, session), -EAGAIN);
	vr = vhost_pci_session_vring(session, 0);
	assert_ptr_equal(vr->dirty.log, f->bar[0].va + ADP_RIG_LOG_OFF);
	vhost_pci_dirty_mark(vr, 3 * 4096, 4097);
	assert_int_equal(f->bar[0].va[ADP_RIG_LOG_OFF], 0x18);
	/* Off again, and a log that does not fit. */
	adp_rig_put_u64(f, VHOST_USER_SET_FEATURES, ADP_RIG_FEATURES | ADP_RIG_F_PROTOCOL, 0, 0);
	assert_int_equal(serve(f, session), -EAGAIN);
	assert_null(vr->dirty.log);
	msg.payload.log.size++;
	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID);
	assert_int_equal(serve(f, session), -EINVAL);
	vhost_pci_session_destroy(session);
}

static void
test_call_without_fd_has_no_doorbell(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_session *session = make_session(f);
	struct vhost_pci_vring *vr = vhost_pci_session_vring(session, 1);

	replay(f);
	adp_rig_put_u64(f, VHOST_USER_SET_VRING_CALL, 1 | VHOST_USER_VRING_NOFD, 0, 0);
	assert_int_equal(serve(f, session), -EAGAIN);
	assert_true(vr->call.doorbell == NULL);
	assert_int_equal(vr->call.fd, -1);
	assert_true(vr->err.doorbell != NULL);
	vhost_pci_session_reset(session);
	assert_true(vr->err.doorbell == NULL);
	vhost_pci_session_destroy(session);
}

static void
test_base_is_handed_over_when_a_vring_stops(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_session *session = make_session(f);
	struct vhost_pci_msg msg;

	replay(f);
	put_state(f, VHOST_USER_GET_VRING_BASE, 0, 0, 0);
	assert_int_equal(serve(f, session), -EAGAIN);
	assert_int_equal(adp_rig_get_reply(f, &msg), 0);
	assert_int_equal(msg.payload.state.num, 5);
	assert_int_equal(f->shared->vring_state[0].base, 5);
	assert_int_equal(f->shared->vring_state[0].flags, VHOST_PCI_ADAPTER_VRING_STATE_VALID);
	assert_int_equal(f->shared->vring_state[1].flags, 0);
	vhost_pci_session_vring(session, 1)->avail_idx = 9;
	vhost_pci_session_destroy(session);
	assert_int_equal(f->shared->vring_state[1].base, 9);
	assert_int_equal(f->shared->vring_state[1].flags, VHOST_PCI_ADAPTER_VRING_STATE_VALID);
}

static void
test_messages_whose_fd_stays_with_the_device_are_taken(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_session *session = make_session(f);
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_SET_LOG_FD, 0);

	replay(f);
	msg.nb_fds = 1;
	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID);
	assert_int_equal(serve(f, session), -EAGAIN);
	assert_int_equal(vhost_pci_session_stats(session)->rejected, 0);
	vhost_pci_session_destroy(session);
}

static void
test_random_rings_and_registers_do_no_harm(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_session *session = make_session(f);
	unsigned int seed = 1;

	for (unsigned int round = 0; round < 2000; round++) {
		uint32_t *words = (void *)f->shared->f2b_data;
		uint32_t *regs = (void *)f->regs;

		for (unsigned int i = 0; i < 64; i++)
			words[i] = (uint32_t)rand_r(&seed) % (i % 3 == 0 ? 64 : UINT32_MAX);
		words[0] = 12 + (uint32_t)rand_r(&seed) % 64;
		words[1] = (uint32_t)rand_r(&seed) % 4;
		adp_rig_set64(&words[2], ADP_RIG_CONN_ID);
		words[4] = (uint32_t)rand_r(&seed) % 48;
		words[5] = VHOST_USER_VERSION | (uint32_t)rand_r(&seed) % 16;
		words[6] = words[0] - 12;
		f->shared->f2b_ctrl.prod_idx = ((uint32_t)rand_r(&seed) % 256) & ~7u;
		if (round % 4 == 0)
			regs[0x80 / 4 + (uint32_t)rand_r(&seed) % 64] = (uint32_t)rand_r(&seed) % 8;
		adp_rig_event(f);
		(void)serve(f, session);
		vhost_pci_session_reset(session);
		vhost_pci_transport_close(f->transport);
		f->transport = NULL;
		adp_rig_init_regs(f);
		adp_rig_device_reset(f);
		assert_int_equal(vhost_pci_adp_restart(f->adp), 0);
		adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID);
		assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), 0);
	}
	vhost_pci_session_destroy(session);
	assert_int_equal(vhost_pci_adp_nb_mappings(f->adp), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, adp_rig_setup, adp_rig_teardown)
#define CONNECTED_TEST(name) \
	cmocka_unit_test_setup_teardown(name, adp_rig_setup_connected, adp_rig_teardown)

static const struct CMUnitTest tests[] = {
	CONNECTED_TEST(test_region_is_where_its_bar_address_says),
	CONNECTED_TEST(test_region_outside_of_its_window_is_refused),
	TEST(test_window_outside_of_its_bar_is_refused),
	TEST(test_absent_window_holds_nothing),
	CONNECTED_TEST(test_mapping_outlives_the_adapter),
	TEST(test_log_is_in_its_window_only),
	TEST(test_log_window_outside_of_its_bar_is_refused),
	TEST(test_log_of_a_migration_is_the_window),
	CONNECTED_TEST(test_channel_request_and_reply_cross_the_rings),
	CONNECTED_TEST(test_channel_replies_that_nobody_waits_for),
	CONNECTED_TEST(test_channel_requests_that_do_not_travel),
	CONNECTED_TEST(test_channel_that_is_over),
	TEST(test_no_channel_without_the_feature),
	CONNECTED_TEST(test_replayed_session_gets_ready),
	CONNECTED_TEST(test_call_without_fd_has_no_doorbell),
	CONNECTED_TEST(test_base_is_handed_over_when_a_vring_stops),
	CONNECTED_TEST(test_messages_whose_fd_stays_with_the_device_are_taken),
	CONNECTED_TEST(test_random_rings_and_registers_do_no_harm),
};
REGISTER_TEST_GROUP(transport_adapter_session_autotest, tests, NULL, NULL);
