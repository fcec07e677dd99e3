/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "transport_adapter_rig.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "test_util.h"

static uint32_t
shared_off(size_t member)
{
	return (uint32_t)(VHOST_PCI_ADAPTER_SHARED_OFF + member);
}

void
adp_rig_set64(uint32_t *reg_lo, uint64_t value)
{
	reg_lo[0] = (uint32_t)value;
	reg_lo[1] = (uint32_t)(value >> 32);
}

void
adp_rig_init_window(struct adp_rig *f)
{
	struct vhost_pci_adapter_window *window = &f->regs->window[0];

	window->info = VHOST_PCI_ADAPTER_WINDOW_INFO(2, VHOST_PCI_ADAPTER_WINDOW_MEM) |
			VHOST_PCI_ADAPTER_WINDOW_INFO_SEALED;
	adp_rig_set64(&window->offset_lo, ADP_RIG_WINDOW_OFF);
	adp_rig_set64(&window->bytes_lo, ADP_RIG_WINDOW_SIZE);
}

void
adp_rig_set_log(struct adp_rig *f, unsigned int bar, uint64_t off, uint64_t bytes)
{
	struct vhost_pci_adapter_window *window =
			&f->regs->window[VHOST_PCI_ADAPTER_WINDOW_IDX_LOG];

	window->info = VHOST_PCI_ADAPTER_WINDOW_INFO(bar, VHOST_PCI_ADAPTER_WINDOW_LOG);
	adp_rig_set64(&window->offset_lo, off);
	adp_rig_set64(&window->bytes_lo, bytes);
}

void
adp_rig_init_regs(struct adp_rig *f)
{
	struct vhost_pci_adapter_regs *regs = f->regs;

	memset(regs, 0, sizeof(*regs));
	regs->magic = VHOST_PCI_ADAPTER_MAGIC;
	regs->version = VHOST_PCI_ADAPTER_VERSION;
	adp_rig_set64(&regs->device_features_lo,
			VHOST_PCI_ADAPTER_F_LOG | VHOST_PCI_ADAPTER_F_BACKEND_CHANNEL |
					VHOST_PCI_ADAPTER_F_PEER_CONNECTION |
					VHOST_PCI_ADAPTER_F_STATIC | UINT64_C(1) << 60);
	regs->nb_vrings = ADP_RIG_NB_VRINGS;
	regs->nb_vectors = ADP_RIG_NB_VECTORS;
	regs->msg_bytes_max = VHOST_PCI_ADAPTER_MSG_BYTES_LEAST;
	regs->f2b_ctrl_off = shared_off(offsetof(struct vhost_pci_adapter_shared, f2b_ctrl));
	regs->f2b_data_off = shared_off(offsetof(struct vhost_pci_adapter_shared, f2b_data));
	regs->f2b_bytes = VHOST_PCI_ADAPTER_RING_BYTES_MIN;
	regs->b2f_ctrl_off = shared_off(offsetof(struct vhost_pci_adapter_shared, b2f_ctrl));
	regs->b2f_data_off = shared_off(offsetof(struct vhost_pci_adapter_shared, b2f_data));
	regs->b2f_bytes = VHOST_PCI_ADAPTER_RING_BYTES_MIN;
	regs->counters_off = shared_off(offsetof(struct vhost_pci_adapter_shared, counters));
	regs->vring_state_off = shared_off(offsetof(struct vhost_pci_adapter_shared, vring_state));
	regs->virtio_id = 1;
	regs->peer_connection = VHOST_PCI_ADAPTER_PEER_ON;
	adp_rig_set64(&regs->offered_features_lo, ADP_RIG_FEATURES);
	adp_rig_set64(&regs->offered_protocol_lo, ADP_RIG_PROTOCOL);
	adp_rig_init_window(f);
}

void
adp_rig_device_reset(struct adp_rig *f)
{
	vhost_pci_msgring_clear(&f->shared->f2b_ctrl);
	vhost_pci_msgring_clear(&f->shared->b2f_ctrl);
	assert_int_equal(vhost_pci_msgring_init(&f->f2b, &f->shared->f2b_ctrl, f->shared->f2b_data,
					 VHOST_PCI_ADAPTER_RING_BYTES_MIN,
					 VHOST_PCI_ADAPTER_MSG_BYTES_MAX),
			0);
	assert_int_equal(vhost_pci_msgring_init(&f->b2f, &f->shared->b2f_ctrl, f->shared->b2f_data,
					 VHOST_PCI_ADAPTER_RING_BYTES_MIN,
					 VHOST_PCI_ADAPTER_MSG_BYTES_LEAST),
			0);
}

int
adp_rig_setup(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct adp_rig *f = test_calloc(1, sizeof(*f));

	f->nb_fds = test_nb_fds();
	f->map_bytes = ADP_RIG_BAR0_BYTES + ADP_RIG_BAR2_BYTES + 3 * page;
	f->map = mmap(NULL, f->map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(f->map, MAP_FAILED);
	f->bar[0] = (struct vhost_pci_adp_bar){ f->map + page, ADP_RIG_BAR0_BYTES };
	f->bar[2] = (struct vhost_pci_adp_bar){ f->map + 2 * page + ADP_RIG_BAR0_BYTES,
		ADP_RIG_BAR2_BYTES };
	assert_int_equal(mprotect(f->bar[0].va, ADP_RIG_BAR0_BYTES, PROT_READ | PROT_WRITE), 0);
	/* Of BAR2 there is the window alone. */
	assert_int_equal(mprotect(f->bar[2].va + ADP_RIG_WINDOW_OFF, ADP_RIG_WINDOW_SIZE,
					 PROT_READ | PROT_WRITE),
			0);
	f->regs = (void *)f->bar[0].va;
	f->vring_regs = (void *)(f->bar[0].va + VHOST_PCI_ADAPTER_VRING_REGS_OFF);
	f->doorbells = (void *)(f->bar[0].va + VHOST_PCI_ADAPTER_DOORBELLS_OFF);
	f->shared = (void *)(f->bar[0].va + VHOST_PCI_ADAPTER_SHARED_OFF);
	f->now_ms = 1000;
	for (unsigned int i = 0; i < ADP_RIG_NB_VRINGS; i++)
		f->kick_fd[i] = i % 2 != 0 ? test_eventfd() : -1;
	adp_rig_init_regs(f);
	adp_rig_device_reset(f);
	*state = f;
	return 0;
}

int
adp_rig_teardown(void **state)
{
	struct adp_rig *f = *state;

	if (f->transport != NULL)
		vhost_pci_transport_close(f->transport);
	if (f->adp != NULL)
		vhost_pci_adp_destroy(f->adp);
	for (unsigned int i = 0; i < ADP_RIG_NB_VRINGS; i++)
		if (f->kick_fd[i] >= 0)
			close(f->kick_fd[i]);
	assert_int_equal(test_nb_fds(), f->nb_fds);
	munmap(f->map, f->map_bytes);
	test_free(f);
	return 0;
}

int
adp_rig_create(struct adp_rig *f)
{
	return vhost_pci_adp_create(f->bar, "test", &f->adp);
}

void
adp_rig_start(struct adp_rig *f)
{
	static const uint16_t vector[ADP_RIG_NB_VRINGS] = { VHOST_PCI_ADAPTER_NO_VECTOR, 1,
		VHOST_PCI_ADAPTER_NO_VECTOR, 2 };
	struct vhost_pci_adp_config config = {
		.features = ADP_RIG_FEATURES,
		.protocol_features = ADP_RIG_PROTOCOL,
		.nb_vrings = ADP_RIG_NB_VRINGS,
		.event_vector = 0,
		.vector = vector,
		.kick_fd = f->kick_fd,
	};

	assert_int_equal(adp_rig_create(f), 0);
	assert_int_equal(vhost_pci_adp_start(f->adp, &config), 0);
}

enum vhost_pci_adp_state
adp_rig_event(struct adp_rig *f)
{
	f->regs->conn_generation++;
	f->shared->counters.event_seq++;
	return vhost_pci_adp_poll(f->adp, f->now_ms);
}

enum vhost_pci_adp_state
adp_rig_go_to(struct adp_rig *f, uint32_t conn_state, uint64_t conn_id)
{
	f->regs->conn_state = conn_state;
	adp_rig_set64(&f->regs->conn_id_lo, conn_id);
	return adp_rig_event(f);
}

/** A driver that is ready, and a session that has a transport. */
static void
adp_rig_connect(struct adp_rig *f)
{
	adp_rig_start(f);
	assert_int_equal(adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID),
			VHOST_PCI_ADP_CONNECTED);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), 0);
}

int
adp_rig_setup_connected(void **state)
{
	int ret = adp_rig_setup(state);

	adp_rig_connect(*state);
	return ret;
}

struct vhost_pci_msg
adp_rig_make_msg(uint32_t request, uint32_t bytes)
{
	struct vhost_pci_msg msg = { .hdr = { request, VHOST_USER_VERSION, bytes } };

	return msg;
}

void
adp_rig_put_msg(struct adp_rig *f, const struct vhost_pci_msg *msg, uint16_t flags,
		uint64_t conn_id)
{
	assert_int_equal(vhost_pci_msgring_enqueue(&f->f2b, msg, flags, conn_id), 0);
}

void
adp_rig_put_u64(struct adp_rig *f, uint32_t request, uint64_t u64, unsigned int nb_fds,
		uint16_t flags)
{
	struct vhost_pci_msg msg = adp_rig_make_msg(request, sizeof(u64));

	msg.payload.u64 = u64;
	msg.nb_fds = nb_fds;
	adp_rig_put_msg(f, &msg, flags, ADP_RIG_CONN_ID);
}

int
adp_rig_recv_msg(struct adp_rig *f, struct vhost_pci_msg *msg)
{
	return vhost_pci_transport_recv(f->transport, msg);
}

struct vhost_pci_msg
adp_rig_expect_msg(struct adp_rig *f, uint32_t request)
{
	struct vhost_pci_msg msg;

	assert_int_equal(adp_rig_recv_msg(f, &msg), 1);
	assert_int_equal(msg.hdr.request, request);
	return msg;
}

int
adp_rig_send_u64(struct adp_rig *f, uint32_t request, uint64_t u64)
{
	struct vhost_pci_msg reply;

	vhost_pci_codec_make_reply(&reply, request, sizeof(u64));
	reply.payload.u64 = u64;
	return vhost_pci_transport_send(f->transport, &reply);
}

int
adp_rig_get_reply(struct adp_rig *f, struct vhost_pci_msg *msg)
{
	struct vhost_pci_adapter_frame frame;
	int ret = vhost_pci_msgring_dequeue(&f->b2f, msg, &frame);

	if (ret == 0)
		assert_int_equal(frame.conn_id, ADP_RIG_CONN_ID);
	return ret;
}
