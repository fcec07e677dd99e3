/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "test.h"
#include "test_util.h"
#include "transport_adapter_rig.h"

/* Initialization */

static void
test_good_device_is_initialized_in_order(void **state)
{
	struct adp_rig *f = *state;
	const struct vhost_pci_adp_info *info;

	adp_rig_start(f);
	info = vhost_pci_adp_info(f->adp);
	assert_int_equal(info->nb_vrings, ADP_RIG_NB_VRINGS);
	assert_int_equal(info->nb_vectors, ADP_RIG_NB_VECTORS);
	assert_int_equal(info->virtio_id, 1);
	assert_int_equal(info->offered_features, ADP_RIG_FEATURES);
	assert_int_equal(info->offered_protocol, ADP_RIG_PROTOCOL);
	assert_int_equal(f->regs->device_status,
			VHOST_PCI_ADAPTER_STATUS_DRIVER | VHOST_PCI_ADAPTER_STATUS_FEATURES_OK |
					VHOST_PCI_ADAPTER_STATUS_DRIVER_READY);
	/* Of the features on offer, those that it knows. */
	assert_int_equal(f->regs->driver_features_lo,
			VHOST_PCI_ADAPTER_F_STATIC | VHOST_PCI_ADAPTER_F_LOG |
					VHOST_PCI_ADAPTER_F_BACKEND_CHANNEL |
					VHOST_PCI_ADAPTER_F_PEER_CONNECTION);
	assert_int_equal(f->regs->driver_features_hi, 0);
	assert_int_equal(f->regs->driver_cap_features_hi, ADP_RIG_FEATURES >> 32);
	assert_int_equal(f->regs->driver_cap_protocol_lo, ADP_RIG_PROTOCOL);
	assert_int_equal(f->regs->driver_cap_vrings, ADP_RIG_NB_VRINGS);
	assert_int_equal(f->regs->event_vector, 0);
	assert_int_equal(f->vring_regs[0].vector, VHOST_PCI_ADAPTER_NO_VECTOR);
	assert_int_equal(f->vring_regs[3].vector, 2);
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_IDLE);
}

/** Peer connection: only both sides make it, whoever says so first [ADP-14.3]. */
static void
test_peer_connection_takes_both_sides(void **state)
{
	struct adp_rig *f = *state;
	unsigned int i;

	vhost_pci_adp_set_local_on(f->adp, false);
	assert_int_equal(f->regs->local_connection, VHOST_PCI_ADAPTER_PEER_OFF);
	vhost_pci_adp_set_local_on(f->adp, true);
	assert_int_equal(f->regs->local_connection, VHOST_PCI_ADAPTER_PEER_ON);
	for (i = 0; i < 4; i++) {
		bool peer = (i & 1) != 0, local = (i & 2) != 0;

		f->regs->peer_connection = peer ? VHOST_PCI_ADAPTER_PEER_ON
						: VHOST_PCI_ADAPTER_PEER_OFF;
		f->regs->conn_generation++;
		vhost_pci_adp_set_local_on(f->adp, local);
		assert_int_equal(adp_rig_event(f), VHOST_PCI_ADP_CONNECTED);
		assert_int_equal(vhost_pci_adp_peer_on(f->adp), peer && local);
	}
	f->regs->peer_connection = VHOST_PCI_ADAPTER_PEER_INIT;
	adp_rig_event(f);
	assert_false(vhost_pci_adp_peer_on(f->adp));
}

/** What the driver wants is told anew after a reset [ADP-14.2]. */
static void
test_local_connection_outlives_a_reset(void **state)
{
	struct adp_rig *f = *state;

	adp_rig_start(f);
	vhost_pci_adp_set_local_on(f->adp, false);
	f->regs->local_connection = VHOST_PCI_ADAPTER_PEER_INIT;
	assert_int_equal(vhost_pci_adp_restart(f->adp), 0);
	assert_int_equal(f->regs->local_connection, VHOST_PCI_ADAPTER_PEER_OFF);
}

/** Where the device knows of none, what is in the register is nobody's business. */
static void
test_no_peer_connection_is_on(void **state)
{
	struct adp_rig *f = *state;

	f->regs->device_features_lo &= ~(uint32_t)VHOST_PCI_ADAPTER_F_PEER_CONNECTION;
	f->regs->peer_connection = VHOST_PCI_ADAPTER_PEER_OFF;
	adp_rig_start(f);
	adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID);
	assert_true(vhost_pci_adp_peer_on(f->adp));
}

static void
test_what_is_no_adapter_is_refused(void **state)
{
	struct adp_rig *f = *state;
	uint32_t magic = f->regs->magic;

	f->regs->magic = 0;
	assert_int_equal(adp_rig_create(f), -ENODEV);
	f->regs->magic = VHOST_PCI_ADAPTER_GONE;
	assert_int_equal(adp_rig_create(f), -ENODEV);
	f->regs->magic = magic;
	f->regs->version = 0x00020000;
	assert_int_equal(adp_rig_create(f), -ENOTSUP);
	/* [ADP-4.1]: any minor version will do. */
	f->regs->version = 0x00010007;
	assert_int_equal(adp_rig_create(f), 0);
}

static void
test_small_bar_is_refused(void **state)
{
	struct adp_rig *f = *state;

	f->bar[0].bytes /= 2;
	assert_int_equal(adp_rig_create(f), -EINVAL);
	f->bar[0].va = NULL;
	assert_int_equal(adp_rig_create(f), -EINVAL);
}

static void
test_limits_that_can_not_be_are_refused(void **state)
{
	struct adp_rig *f = *state;
	const struct {
		uint32_t *reg;
		uint32_t value;
	} cases[] = {
		{ &f->regs->nb_vrings, 0 },
		{ &f->regs->nb_vrings, VHOST_PCI_ADAPTER_VRINGS_MAX + 1 },
		{ &f->regs->nb_vrings, UINT32_MAX },
		{ &f->regs->nb_vectors, VHOST_PCI_ADAPTER_VECTORS_MAX + 1 },
		{ &f->regs->msg_bytes_max, VHOST_PCI_ADAPTER_MSG_BYTES_LEAST - 1 },
		{ &f->regs->msg_bytes_max, VHOST_PCI_ADAPTER_MSG_BYTES_MAX + 1 },
		{ &f->regs->f2b_ctrl_off, ADP_RIG_BAR0_BYTES },
		{ &f->regs->f2b_ctrl_off, ADP_RIG_BAR0_BYTES - 64 },
		{ &f->regs->f2b_ctrl_off, 0xffffffc0 },
		{ &f->regs->f2b_ctrl_off, VHOST_PCI_ADAPTER_SHARED_OFF + 4 },
		{ &f->regs->f2b_data_off,
				ADP_RIG_BAR0_BYTES - VHOST_PCI_ADAPTER_RING_BYTES_MIN + 64 },
		{ &f->regs->f2b_bytes, 0 },
		{ &f->regs->f2b_bytes, VHOST_PCI_ADAPTER_RING_BYTES_MIN - 8 },
		{ &f->regs->f2b_bytes, VHOST_PCI_ADAPTER_RING_BYTES_MAX },
		{ &f->regs->f2b_bytes, 0x80000000 },
		{ &f->regs->b2f_data_off, 0xfffff000 },
		{ &f->regs->b2f_ctrl_off, 1 },
		{ &f->regs->counters_off, ADP_RIG_BAR0_BYTES - 4 },
		{ &f->regs->counters_off, VHOST_PCI_ADAPTER_SHARED_OFF + 2 },
		{ &f->regs->counters_off, UINT32_MAX },
		{ &f->regs->vring_state_off, ADP_RIG_BAR0_BYTES - 64 },
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t good = *cases[i].reg;

		*cases[i].reg = cases[i].value;
		assert_int_equal(adp_rig_create(f), -EINVAL);
		*cases[i].reg = good;
	}
	assert_int_equal(adp_rig_create(f), 0);
}

static void
test_driver_of_too_many_vrings_is_refused(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_adp_config config = { .nb_vrings = ADP_RIG_NB_VRINGS + 1 };

	assert_int_equal(adp_rig_create(f), 0);
	assert_int_equal(vhost_pci_adp_start(f->adp, &config), -EINVAL);
	config.nb_vrings = 0;
	assert_int_equal(vhost_pci_adp_start(f->adp, &config), -EINVAL);
	assert_int_equal(f->regs->device_status & VHOST_PCI_ADAPTER_STATUS_DRIVER_READY, 0);
}

static void
test_adapter_is_given_back_by_a_reset(void **state)
{
	struct adp_rig *f = *state;

	adp_rig_start(f);
	vhost_pci_adp_destroy(f->adp);
	f->adp = NULL;
	assert_int_equal(f->regs->device_status, 0);
	assert_int_equal(f->regs->conn_control, 0);
}

/* State */

static void
test_registers_are_read_only_after_an_event(void **state)
{
	struct adp_rig *f = *state;

	adp_rig_start(f);
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_IDLE);
	f->regs->conn_state = VHOST_PCI_ADAPTER_CONN_RETIRED;
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_IDLE);
	assert_int_equal(adp_rig_event(f), VHOST_PCI_ADP_RETIRED);
}

static void
test_states_before_a_session_are_idle(void **state)
{
	struct adp_rig *f = *state;

	adp_rig_start(f);
	assert_int_equal(adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_NEGOTIATING, 1),
			VHOST_PCI_ADP_IDLE);
	assert_int_equal(adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_READY, 1), VHOST_PCI_ADP_IDLE);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), -ENOTCONN);
	assert_null(f->transport);
}

static void
test_session_has_one_transport(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_transport *second;

	assert_int_equal(vhost_pci_adp_open(f->adp, &second), -EBUSY);
}

static void
test_released_after_transport_and_memory_are(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_mapping *mapping;
	struct vhost_pci_msg msg;

	assert_int_equal(f->transport->ops->map_region(f->transport, -1,
					 vhost_pci_adapter_bar_addr(2, ADP_RIG_WINDOW_OFF), 4096,
					 &mapping),
			0);
	adp_rig_put_u64(f, VHOST_USER_SET_FEATURES, 0, 0, 0);
	assert_int_equal(adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_DISCONNECTED, ADP_RIG_CONN_ID),
			VHOST_PCI_ADP_IDLE);
	/* What is on the ring is not received any more [ADP-12.7]. */
	assert_int_equal(adp_rig_recv_msg(f, &msg), 0);
	assert_int_equal(adp_rig_send_u64(f, VHOST_USER_GET_FEATURES, 0), 0);
	assert_int_equal(f->regs->conn_control, 0);
	vhost_pci_transport_close(f->transport);
	f->transport = NULL;
	vhost_pci_adp_poll(f->adp, f->now_ms);
	assert_int_equal(f->regs->conn_control, 0);
	assert_int_equal(vhost_pci_adp_nb_mappings(f->adp), 1);
	vhost_pci_mapping_put(mapping);
	vhost_pci_adp_poll(f->adp, f->now_ms);
	assert_int_equal(f->regs->conn_control, VHOST_PCI_ADAPTER_CONTROL_RELEASE);
}

static void
test_next_session_does_not_get_frames_of_the_last(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_SET_OWNER, 0);

	adp_rig_put_u64(f, VHOST_USER_SET_FEATURES, 0, 0, 0);
	adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_DISCONNECTED, ADP_RIG_CONN_ID);
	vhost_pci_transport_close(f->transport);
	f->transport = NULL;
	assert_int_equal(adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID + 1),
			VHOST_PCI_ADP_CONNECTED);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), 0);
	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID + 1);
	adp_rig_expect_msg(f, VHOST_USER_SET_OWNER);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EAGAIN);
}

static void
test_ended_session_does_not_come_again(void **state)
{
	struct adp_rig *f = *state;

	vhost_pci_transport_close(f->transport);
	f->transport = NULL;
	vhost_pci_adp_end(f->adp);
	assert_int_equal(f->regs->conn_control, VHOST_PCI_ADAPTER_CONTROL_CLOSE);
	/* A device that takes its time. */
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_IDLE);
	assert_int_equal(adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_DISCONNECTED, ADP_RIG_CONN_ID),
			VHOST_PCI_ADP_IDLE);
	assert_int_equal(f->regs->conn_control, VHOST_PCI_ADAPTER_CONTROL_RELEASE);
	assert_int_equal(adp_rig_go_to(f, VHOST_PCI_ADAPTER_CONN_CONNECTED, ADP_RIG_CONN_ID + 1),
			VHOST_PCI_ADP_CONNECTED);
}

/** All of BAR0's registers read as all ones, as they do without a device. */
static void
let_device_die(struct adp_rig *f)
{
	memset(f->bar[0].va, 0xff, VHOST_PCI_ADAPTER_SHARED_OFF);
}

static void
test_dead_device_is_noticed_in_time_and_left_alone(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg;

	f->shared->counters.alive++;
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_CONNECTED);
	let_device_die(f);
	f->now_ms += VHOST_PCI_ADAPTER_ALIVE_DRIVER_MS - 1;
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_CONNECTED);
	f->now_ms++;
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_GONE);
	assert_int_equal(adp_rig_recv_msg(f, &msg), 0);
	vhost_pci_transport_close(f->transport);
	f->transport = NULL;
	vhost_pci_adp_end(f->adp);
	assert_int_equal(vhost_pci_adp_restart(f->adp), -ENODEV);
	/* It does not come back. */
	adp_rig_init_regs(f);
	assert_int_equal(adp_rig_event(f), VHOST_PCI_ADP_GONE);
	assert_int_equal(f->regs->conn_control, 0);
}

static void
test_slow_device_is_not_gone(void **state)
{
	struct adp_rig *f = *state;

	for (unsigned int i = 0; i < 5; i++) {
		f->now_ms += VHOST_PCI_ADAPTER_ALIVE_DRIVER_MS;
		assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_CONNECTED);
	}
}

static void
test_device_that_needs_a_reset_gets_one(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg;

	f->regs->device_status |= VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET;
	assert_int_equal(adp_rig_event(f), VHOST_PCI_ADP_BROKEN);
	assert_int_equal(adp_rig_recv_msg(f, &msg), 0);
	vhost_pci_transport_close(f->transport);
	f->transport = NULL;
	adp_rig_device_reset(f);
	assert_int_equal(vhost_pci_adp_restart(f->adp), 0);
	assert_int_equal(f->vring_regs[3].vector, 2);
	/* The session is there still, and is relayed anew [ADP-5.9]. */
	assert_int_equal(adp_rig_event(f), VHOST_PCI_ADP_CONNECTED);
	assert_int_equal(vhost_pci_adp_open(f->adp, &f->transport), 0);
	adp_rig_put_u64(f, VHOST_USER_SET_FEATURES, 5, 0, VHOST_PCI_ADAPTER_FRAME_REPLAY);
	assert_int_equal(adp_rig_expect_msg(f, VHOST_USER_SET_FEATURES).payload.u64, 5);
}

static void
test_device_that_was_reset_by_others_is_broken(void **state)
{
	struct adp_rig *f = *state;

	f->regs->device_status = 0;
	assert_int_equal(adp_rig_event(f), VHOST_PCI_ADP_BROKEN);
}

static void
test_unknown_state_is_broken(void **state)
{
	struct adp_rig *f = *state;

	assert_int_equal(adp_rig_go_to(f, 6, ADP_RIG_CONN_ID), VHOST_PCI_ADP_BROKEN);
}

static void
test_device_that_can_not_restart_stays_broken(void **state)
{
	struct adp_rig *f = *state;

	f->regs->device_status |= VHOST_PCI_ADAPTER_STATUS_NEEDS_RESET;
	adp_rig_event(f);
	vhost_pci_transport_close(f->transport);
	f->transport = NULL;
	f->regs->nb_vrings = ADP_RIG_NB_VRINGS - 1;
	assert_int_equal(vhost_pci_adp_restart(f->adp), -EINVAL);
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_BROKEN);
}

/* Messages */

static bool
is_readable(const struct adp_rig *f)
{
	return test_eventfd_read(f->transport->event_fd) != 0;
}

static void
test_message_wakes_and_is_received(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg;

	assert_int_equal(adp_rig_recv_msg(f, &msg), -EAGAIN);
	assert_false(is_readable(f));
	adp_rig_put_u64(f, VHOST_USER_SET_FEATURES, 3, 0, 0);
	f->doorbells->msg_notify = 55;
	assert_int_equal(adp_rig_event(f), VHOST_PCI_ADP_CONNECTED);
	assert_true(is_readable(f));
	assert_int_equal(adp_rig_expect_msg(f, VHOST_USER_SET_FEATURES).payload.u64, 3);
	/* Told once the ring is empty [ADP-8.7]. */
	assert_int_equal(f->doorbells->msg_notify, 55);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EAGAIN);
	assert_int_equal(f->doorbells->msg_notify, 0);
	assert_false(is_readable(f));
}

static void
test_reply_is_sent(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_GET_FEATURES, 0);

	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID);
	adp_rig_expect_msg(f, VHOST_USER_GET_FEATURES);
	f->doorbells->msg_notify = 55;
	assert_int_equal(adp_rig_send_u64(f, VHOST_USER_GET_FEATURES, 99), 0);
	assert_int_equal(f->doorbells->msg_notify, 0);
	assert_int_equal(adp_rig_get_reply(f, &msg), 0);
	assert_int_equal(msg.payload.u64, 99);
}

static void
test_reply_to_what_was_answered_is_dropped(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_GET_FEATURES, 0);
	static const uint16_t flags = VHOST_PCI_ADAPTER_FRAME_ANSWERED;

	adp_rig_put_msg(f, &msg, flags, ADP_RIG_CONN_ID);
	adp_rig_expect_msg(f, VHOST_USER_GET_FEATURES);
	assert_int_equal(adp_rig_send_u64(f, VHOST_USER_GET_FEATURES, 99), 0);
	adp_rig_put_u64(f, VHOST_USER_SET_FEATURES, 0, 0, flags);
	adp_rig_expect_msg(f, VHOST_USER_SET_FEATURES);
	assert_int_equal(adp_rig_send_u64(f, VHOST_USER_SET_FEATURES, 0), 0);
	/* The front-end has heard yes. */
	assert_int_equal(adp_rig_send_u64(f, VHOST_USER_SET_FEATURES, 1), -ECONNABORTED);
	assert_int_equal(adp_rig_get_reply(f, &msg), -EAGAIN);
}

static void
test_reply_waits_for_room_and_holds_messages_up(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg;
	unsigned int nb_sent = 0;

	/* Fill the ring: 40 bytes a frame. */
	while (nb_sent < VHOST_PCI_ADAPTER_RING_BYTES_MIN / 40 + 1)
		assert_int_equal(adp_rig_send_u64(f, VHOST_USER_SET_FEATURES, nb_sent++), 0);
	adp_rig_put_u64(f, VHOST_USER_SET_FEATURES, 0, 0, 0);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EAGAIN);
	for (unsigned int i = 0; i < nb_sent - 1; i++) {
		assert_int_equal(adp_rig_get_reply(f, &msg), 0);
		assert_int_equal(msg.payload.u64, i);
	}
	assert_int_equal(adp_rig_event(f), VHOST_PCI_ADP_CONNECTED);
	assert_true(is_readable(f));
	adp_rig_expect_msg(f, VHOST_USER_SET_FEATURES);
	assert_int_equal(adp_rig_get_reply(f, &msg), 0);
	assert_int_equal(msg.payload.u64, nb_sent - 1);
}

static void
test_frames_of_others_and_replies_are_dropped(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_SET_OWNER, 0);
	struct vhost_pci_msg reply;

	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID - 1);
	adp_rig_put_msg(f, &msg, 0, UINT64_MAX);
	vhost_pci_codec_make_reply(&reply, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
			sizeof(reply.payload.u64));
	adp_rig_put_msg(f, &reply, 0, ADP_RIG_CONN_ID);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EAGAIN);
}

static void
test_flood_of_frames_of_others_ends(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_SET_OWNER, 0);

	for (unsigned int i = 0; i < 100; i++)
		adp_rig_put_msg(f, &msg, 0, 1);
	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID);
	/* Some at one go: the rest when it is called again, for which the fd stays readable. */
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EAGAIN);
	assert_true(is_readable(f));
	adp_rig_expect_msg(f, VHOST_USER_SET_OWNER);
}

static void
test_malformed_message_is_told_as_from_a_socket(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg = adp_rig_make_msg(VHOST_USER_SET_FEATURES, 0);

	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EMSGSIZE);
	msg = adp_rig_make_msg(VHOST_USER_SET_OWNER, 0);
	msg.hdr.flags = 2;
	adp_rig_put_msg(f, &msg, 0, ADP_RIG_CONN_ID);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EPROTONOSUPPORT);
	adp_rig_put_u64(f, VHOST_USER_SET_VRING_KICK, VHOST_USER_VRING_NOFD, 1, 0);
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EBADMSG);
	/* An unknown one is for the session. */
	adp_rig_put_u64(f, 250, 0, 0, 0);
	adp_rig_expect_msg(f, 250);
}

static void
test_corrupted_ring_breaks_the_adapter(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg;

	f->shared->f2b_ctrl.prod_idx += VHOST_PCI_ADAPTER_RING_BYTES_MIN + 8;
	assert_int_equal(adp_rig_recv_msg(f, &msg), -EPROTO);
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_BROKEN);
	vhost_pci_transport_close(f->transport);
	f->transport = NULL;
	adp_rig_device_reset(f);
	assert_int_equal(vhost_pci_adp_restart(f->adp), 0);
	assert_int_equal(adp_rig_event(f), VHOST_PCI_ADP_CONNECTED);
}

static void
test_impossible_consumer_breaks_the_adapter(void **state)
{
	struct adp_rig *f = *state;

	f->shared->b2f_ctrl.cons_idx = 8;
	assert_int_equal(adp_rig_send_u64(f, VHOST_USER_GET_FEATURES, 0), -EPROTO);
	assert_int_equal(vhost_pci_adp_poll(f->adp, f->now_ms), VHOST_PCI_ADP_BROKEN);
}

static void
test_kick_comes_with_the_eventfd_of_its_vector(void **state)
{
	struct adp_rig *f = *state;
	struct vhost_pci_msg msg;
	uint64_t one = 1;

	adp_rig_put_u64(f, VHOST_USER_SET_VRING_KICK, 3, 1, 0);
	adp_rig_put_u64(f, VHOST_USER_SET_VRING_KICK, 3 | VHOST_USER_VRING_NOFD, 0, 0);
	adp_rig_put_u64(f, VHOST_USER_SET_VRING_KICK, 2, 1, 0);
	adp_rig_put_u64(f, VHOST_USER_SET_VRING_KICK, 0xff, 1, 0);
	msg = adp_rig_expect_msg(f, VHOST_USER_SET_VRING_KICK);
	assert_true(msg.fds[0] >= 0);
	assert_int_not_equal(msg.fds[0], f->kick_fd[3]);
	assert_int_equal(write(f->kick_fd[3], &one, sizeof(one)), sizeof(one));
	assert_int_equal(test_eventfd_read(msg.fds[0]), 1);
	vhost_pci_msg_close_fds(&msg);
	for (unsigned int i = 0; i < 3; i++) {
		msg = adp_rig_expect_msg(f, VHOST_USER_SET_VRING_KICK);
		assert_int_equal(vhost_pci_msg_take_fd(&msg, 0), -1);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, adp_rig_setup, adp_rig_teardown)
#define CONNECTED_TEST(name) \
	cmocka_unit_test_setup_teardown(name, adp_rig_setup_connected, adp_rig_teardown)

static const struct CMUnitTest tests[] = {
	TEST(test_good_device_is_initialized_in_order),
	TEST(test_what_is_no_adapter_is_refused),
	CONNECTED_TEST(test_peer_connection_takes_both_sides),
	TEST(test_local_connection_outlives_a_reset),
	TEST(test_no_peer_connection_is_on),
	TEST(test_small_bar_is_refused),
	TEST(test_limits_that_can_not_be_are_refused),
	TEST(test_driver_of_too_many_vrings_is_refused),
	TEST(test_adapter_is_given_back_by_a_reset),
	TEST(test_registers_are_read_only_after_an_event),
	TEST(test_states_before_a_session_are_idle),
	CONNECTED_TEST(test_session_has_one_transport),
	CONNECTED_TEST(test_released_after_transport_and_memory_are),
	CONNECTED_TEST(test_next_session_does_not_get_frames_of_the_last),
	CONNECTED_TEST(test_ended_session_does_not_come_again),
	CONNECTED_TEST(test_dead_device_is_noticed_in_time_and_left_alone),
	CONNECTED_TEST(test_slow_device_is_not_gone),
	CONNECTED_TEST(test_device_that_needs_a_reset_gets_one),
	CONNECTED_TEST(test_device_that_was_reset_by_others_is_broken),
	CONNECTED_TEST(test_unknown_state_is_broken),
	CONNECTED_TEST(test_device_that_can_not_restart_stays_broken),
	CONNECTED_TEST(test_message_wakes_and_is_received),
	CONNECTED_TEST(test_reply_is_sent),
	CONNECTED_TEST(test_reply_to_what_was_answered_is_dropped),
	CONNECTED_TEST(test_reply_waits_for_room_and_holds_messages_up),
	CONNECTED_TEST(test_frames_of_others_and_replies_are_dropped),
	CONNECTED_TEST(test_flood_of_frames_of_others_ends),
	CONNECTED_TEST(test_malformed_message_is_told_as_from_a_socket),
	CONNECTED_TEST(test_corrupted_ring_breaks_the_adapter),
	CONNECTED_TEST(test_impossible_consumer_breaks_the_adapter),
	CONNECTED_TEST(test_kick_comes_with_the_eventfd_of_its_vector),
};
REGISTER_TEST_GROUP(transport_adapter_autotest, tests, NULL, NULL);
