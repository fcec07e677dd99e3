/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vhost_types.h>
#include <linux/virtio_ring.h>

#include "adapter_rig.h"
#include "test.h"

#define MB UINT64_C(0x100000)

#define CONN(name)   VHOST_PCI_ADAPTER_CONN_##name
#define STATUS(name) VHOST_PCI_ADAPTER_STATUS_##name

#define LOG_ALL (UINT64_C(1) << VHOST_F_LOG_ALL)

/* Receive a replay and look for one of its messages, of this vring. */
static bool
replay_has(struct drv *drv, uint32_t request, uint32_t index, struct vhost_pci_msg *found)
{
	struct vhost_pci_adapter_frame frame;
	struct vhost_pci_msg msg;
	bool has = false;

	do {
		drv_recv(drv, &msg, &frame);
		if (msg.hdr.request == request &&
				(msg.payload.u64 & VHOST_USER_VRING_IDX_MASK) == index) {
			*found = msg;
			has = true;
		}
	} while (msg.hdr.request != VHOST_USER_SET_STATUS);
	return has;
}

/* The front-end goes: the driver sees it, lets go, and gets the next one. */
static void
test_reconnect(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint32_t id;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.linger_ms = 60000;
	adapter_rig_open_all(&rig, &dev, &drv);
	for (unsigned int round = 0; round < 5; round++) {
		id = drv_read(&drv, DRV_REG(conn_id_lo));
		tfe_dev_disconnect(&dev);
		drv_wait_reg(&drv, DRV_REG(conn_state), CONN(DISCONNECTED));
		assert_int_equal(drv_read(&drv, DRV_REG(conn_id_lo)), id);
		assert_int_equal(drv_read(&drv, DRV_VRING_REG(0, live)), 0);
		/* it is back at once; nothing of it is shown before the driver let go */
		assert_int_equal(tfe_dev_reconnect(&dev), 0);
		adapter_rig_settle(&rig);
		assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(DISCONNECTED));
		assert_true(drv_is_empty(&drv));
		drv_write(&drv, DRV_REG(conn_control), VHOST_PCI_ADAPTER_CONTROL_RELEASE);
		assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(CONNECTED));
		assert_true(drv_read(&drv, DRV_REG(conn_id_lo)) > id);
		drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	}
	assert_int_equal(adapter_rig_nb_adapters(&rig), 1);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Without a driver the session comes and goes, and the adapter with it. */
static void
test_no_driver(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint32_t conn_state;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	for (unsigned int round = 0; round < 20; round++) {
		adapter_rig_open_frontend(&rig, &dev);
		adapter_rig_wait_socket(&rig, true);
		adapter_rig_stats(&rig, &conn_state);
		assert_int_equal(conn_state, CONN(READY));
		if (round % 2) {
			drv_plug(&drv, &rig);
			drv_unplug(&drv);
		}
		tfe_dev_close(&dev);
		adapter_rig_wait_socket(&rig, false);
	}
	assert_int_equal(adapter_rig_nb_adapters(&rig), 0);
	assert_int_equal(rig.nb_plugged, 20);
	assert_int_equal(rig.nb_unplugged, 20);
	assert_int_equal(rig.nb_gone, 20);
	adapter_rig_stop(&rig);
}

/* A driver is reset, in all the ways there are: the session goes on with the next. */
static void
test_resets(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_open_all(&rig, &dev, &drv);
	for (unsigned int way = 0; way < 4; way++) {
		switch (way) {
		case 0:
			drv_write(&drv, DRV_REG(device_status), 0);
			break;
		case 1: /* function-level reset */
			assert_int_equal(vfc_write32(&drv.client, VFC_CONFIG, 0x68, 0x8000), 0);
			break;
		case 2:
			assert_int_equal(vfc_request(&drv.client, VFC_RESET, NULL, 0), 0);
			break;
		default:
			drv_unplug(&drv);
			drv_plug(&drv, &rig);
			break;
		}
		assert_int_equal(drv_read(&drv, DRV_REG(device_status)), 0);
		assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(READY));
		assert_int_equal(drv_read(&drv, DRV_REG(event_vector)), 0xffff);
		assert_int_equal(drv_read(&drv, DRV_VRING_REG(0, vector)), 0xffff);
		assert_int_equal(drv_read(&drv, DRV_VRING_REG(0, live)), 0);
		drv_init(&drv, 0, true);
		assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(CONNECTED));
		drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	}
	/* the front-end has not noticed */
	assert_int_equal(tfe_conn_poll(&dev.conn, 0), 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* The base of a vring, from all of the places it may come from [ADP-13.3]. */
static void
test_vring_base(void **state)
{
	struct vhost_pci_adapter_vring_state *vring_state;
	struct vhost_pci_msg msg = { 0 };
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	uint32_t base;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	drv_plug(&drv, &rig);
	vring_state = (void *)(drv.shared + drv_read(&drv, DRV_REG(vring_state_off)) -
			VHOST_PCI_ADAPTER_SHARED_OFF);
	/* the front-end's word, as long as no driver has started the vring */
	assert_int_equal(tfe_req_set_vring_base(&dev.conn, 0, 7), 0);
	drv_init(&drv, 0, true);
	assert_true(replay_has(&drv, VHOST_USER_SET_VRING_BASE, 0, &msg));
	assert_int_equal(msg.payload.state.num, 7);

	/* what the driver left behind */
	vring_state[0].base = 1234;
	vring_state[0].flags = VHOST_PCI_ADAPTER_VRING_STATE_VALID;
	drv_init(&drv, 0, true);
	assert_int_equal(vring_state[0].flags, 0);
	assert_true(replay_has(&drv, VHOST_USER_SET_VRING_BASE, 0, &msg));
	assert_int_equal(msg.payload.state.num, 1234);

	/* one that left nothing: the used index in the front-end's memory */
	dev.rings[0].used->idx = 4321;
	drv_init(&drv, 0, true);
	assert_true(replay_has(&drv, VHOST_USER_SET_VRING_BASE, 0, &msg));
	assert_int_equal(msg.payload.state.num, 4321);

	/* the front-end asks when there is no driver: the vring is stopped */
	drv_write(&drv, DRV_REG(device_status), 0);
	assert_int_equal(tfe_req_get_vring_base(&dev.conn, 0, &base), 0);
	assert_int_equal(base, 4321);
	drv_init(&drv, 0, true);
	assert_false(replay_has(&drv, VHOST_USER_SET_VRING_KICK, 0, &msg));
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* The front-end asks the driver, whose answer is kept. */
static void
test_vring_base_of_driver(void **state)
{
	const struct tfe_vu_vring_state asked = { .index = 1 };
	struct vhost_pci_msg msg, reply;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	struct tfe_msg request;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_open_all(&rig, &dev, &drv);
	tfe_msg_init(&request, TFE_VU_GET_VRING_BASE, &asked, sizeof(asked));
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	drv_expect(&drv, &msg, VHOST_USER_GET_VRING_BASE, 0);
	vhost_pci_codec_make_reply(&reply, VHOST_USER_GET_VRING_BASE, sizeof(reply.payload.state));
	reply.payload.state.index = 1;
	reply.payload.state.num = 99;
	drv_send(&drv, &reply, drv_read(&drv, DRV_REG(conn_id_lo)));
	assert_int_equal(tfe_conn_recv(&dev.conn, &request), 0);
	assert_int_equal(request.state.num, 99);
	assert_int_equal(drv_read(&drv, DRV_VRING_REG(1, live)) & VHOST_PCI_ADAPTER_LIVE_KICK, 0);

	/* a reset while the next answer is due: the device gives it */
	tfe_msg_init(&request, TFE_VU_GET_VRING_BASE, &asked, sizeof(asked));
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	drv_expect(&drv, &msg, VHOST_USER_GET_VRING_BASE, 0);
	drv_write(&drv, DRV_REG(device_status), 0);
	assert_int_equal(tfe_conn_recv(&dev.conn, &request), 0);
	assert_int_equal(request.state.num, 99);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A packed ring that a driver left in disorder: the session ends, to begin anew. */
static void
test_packed_base_unknown(void **state)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	conf.path = rig.vhost_path;
	conf.mem_bytes = 16 * MB;
	conf.features |= TFE_BIT(34); /* RING_PACKED */
	assert_int_equal(tfe_dev_open(&dev, &conf), 0);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, true);
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	drv_init(&drv, 0, true);
	assert_int_equal(tfe_conn_wait_closed(&dev.conn, 5000), 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A packed ring that a driver left in order, after it had failed: the next one goes on there. */
static void
test_packed_base_of_failed_driver(void **state)
{
	struct vhost_pci_adapter_vring_state *vring_state;
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct vhost_pci_msg msg = { 0 };
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	conf.path = rig.vhost_path;
	conf.mem_bytes = 16 * MB;
	conf.features |= TFE_BIT(34); /* RING_PACKED */
	assert_int_equal(tfe_dev_open(&dev, &conf), 0);
	drv_plug(&drv, &rig);
	vring_state = (void *)(drv.shared + drv_read(&drv, DRV_REG(vring_state_off)) -
			VHOST_PCI_ADAPTER_SHARED_OFF);
	drv_init(&drv, 0, true);
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	/* by its own word, or by the device's */
	for (uint32_t round = 0; round < 2; round++) {
		if (round == 0)
			drv_write(&drv, DRV_REG(device_status), STATUS(FAILED));
		vhost_pci_store_relaxed(&drv.b2f.ctrl->prod_idx, 4);
		drv_write(&drv, DRV_BELL(msg_notify), 0);
		assert_true(drv_read(&drv, DRV_REG(device_status)) &
				(round == 0 ? STATUS(FAILED) : STATUS(NEEDS_RESET)));
		assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(READY));
		for (unsigned int i = 0; i < 2; i++) {
			vring_state[i].base = 0x80058005 + round;
			vring_state[i].flags = VHOST_PCI_ADAPTER_VRING_STATE_VALID;
		}
		drv_init(&drv, 0, true);
		assert_true(replay_has(&drv, VHOST_USER_SET_VRING_BASE, 1, &msg));
		assert_int_equal(msg.payload.state.num, 0x80058005 + round);
	}
	assert_int_equal(tfe_conn_poll(&dev.conn, 0), 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A driver that does not answer, one that ends the session, one that gives up. */
static void
test_driver_fails(void **state)
{
	struct vhost_pci_msg msg;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;
	struct tfe_msg request;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.reply_ms = 200;
	rig.config.linger_ms = 60000;
	adapter_rig_open_all(&rig, &dev, &drv);
	/* FAILED while an answer is due: the device gives it, the session goes on */
	tfe_msg_init(&request, TFE_VU_GET_STATUS, NULL, 0);
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	drv_expect(&drv, &msg, VHOST_USER_GET_STATUS, 0);
	drv_write(&drv, DRV_REG(device_status), STATUS(FAILED));
	assert_int_equal(tfe_conn_recv(&dev.conn, &request), 0);
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(READY));
	/* after that only a reset counts */
	drv_write(&drv, DRV_REG(device_status), STATUS(DRIVER_READY));
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(READY));

	/* no answer in time */
	drv_init(&drv, 0, true);
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	tfe_msg_init(&request, TFE_VU_GET_STATUS, NULL, 0);
	assert_int_equal(tfe_conn_send(&dev.conn, &request), 0);
	assert_int_equal(tfe_conn_wait_closed(&dev.conn, 5000), 0);
	drv_wait_reg(&drv, DRV_REG(conn_state), CONN(DISCONNECTED));
	assert_int_equal(adapter_rig_stats(&rig, NULL).timeouts, 1);

	/* CLOSE */
	tfe_dev_disconnect(&dev);
	assert_int_equal(tfe_dev_reconnect(&dev), 0);
	drv_init(&drv, 0, true);
	drv_wait_reg(&drv, DRV_REG(conn_state), CONN(CONNECTED));
	drv_write(&drv, DRV_REG(conn_control), VHOST_PCI_ADAPTER_CONTROL_CLOSE);
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(DISCONNECTED));
	assert_int_equal(tfe_conn_wait_closed(&dev.conn, 5000), 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Replies that fit no request, and rings that can't be: NEEDS_RESET, and no more than that. */
static void
test_corrupted_rings(void **state)
{
	struct vhost_pci_msg reply;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_open_all(&rig, &dev, &drv);
	for (unsigned int way = 0; way < 6; way++) {
		uint32_t id = drv_read(&drv, DRV_REG(conn_id_lo));

		vhost_pci_codec_make_reply(&reply, VHOST_USER_GET_STATUS, 8);
		switch (way) {
		case 0: /* nobody asked */
			drv_send(&drv, &reply, id);
			break;
		case 1: /* an index that is no multiple of 8 */
			drv.b2f.ctrl->prod_idx = 4;
			break;
		case 2: /* more bytes than there are */
			drv.b2f.ctrl->prod_idx = 0x10000;
			break;
		case 3: /* a frame that is too long */
			memset(drv.b2f.data, 0xff, 64);
			drv.b2f.ctrl->prod_idx = 64;
			break;
		case 4: /* sizes that contradict each other */
			reply.hdr.size = 8;
			assert_int_equal(vhost_pci_msgring_enqueue(&drv.b2f, &reply, 0, id), 0);
			((uint32_t *)(void *)drv.b2f.data)[0] = 12;
			break;
		default: /* a reply to what is not asked, in version 0 */
			reply.hdr.flags = VHOST_USER_REPLY;
			drv_send(&drv, &reply, id);
			break;
		}
		drv_write(&drv, DRV_BELL(msg_notify), 0);
		assert_true(drv_read(&drv, DRV_REG(device_status)) & STATUS(NEEDS_RESET));
		assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(READY));
		assert_int_equal(tfe_conn_poll(&dev.conn, 0), 0);
		drv_init(&drv, 0, true);
		drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	}
	/* the consumer's index of the other ring, found when there is something to put on it */
	drv.f2b.ctrl->cons_idx = 3;
	dev.conn.need_reply = false;
	assert_int_equal(tfe_req_set_vring_num(&dev.conn, 0, 256), 0);
	drv_wait_reg(&drv, DRV_REG(conn_state), CONN(READY));
	assert_int_equal(tfe_conn_poll(&dev.conn, 0), 0);
	/* frames of another session, and requests of the back-end, are dropped */
	drv_init(&drv, 0, true);
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	vhost_pci_codec_make_reply(&reply, VHOST_USER_GET_STATUS, 8);
	drv_send(&drv, &reply, 0x1234567);
	reply.hdr.flags = VHOST_USER_VERSION;
	drv_send(&drv, &reply, drv_read(&drv, DRV_REG(conn_id_lo)));
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(CONNECTED));
	assert_int_equal(adapter_rig_stats(&rig, NULL).frames_dropped, 2);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Feature negotiation of the adapter [section 4], and the order of status bits. */
static void
test_status(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	adapter_rig_open_frontend(&rig, &dev);
	drv_plug(&drv, &rig);
	drv_write(&drv, DRV_REG(device_status), STATUS(FEATURES_OK));
	assert_int_equal(drv_read(&drv, DRV_REG(device_status)), 0);
	drv_write(&drv, DRV_REG(device_status), STATUS(DRIVER) | STATUS(DRIVER_READY));
	assert_int_equal(drv_read(&drv, DRV_REG(device_status)), STATUS(DRIVER));
	/* a feature that is not there */
	drv_write(&drv, DRV_REG(driver_features_hi), 1);
	drv_write(&drv, DRV_REG(device_status), STATUS(FEATURES_OK));
	assert_int_equal(drv_read(&drv, DRV_REG(device_status)), STATUS(DRIVER));
	drv_write(&drv, DRV_REG(driver_features_hi), 0);
	drv_write(&drv, DRV_REG(device_status), STATUS(FEATURES_OK));
	assert_int_equal(drv_read(&drv, DRV_REG(device_status)),
			STATUS(DRIVER) | STATUS(FEATURES_OK));
	drv_write(&drv, DRV_REG(driver_features_lo), 1);
	assert_int_equal(drv_read(&drv, DRV_REG(driver_features_lo)), 0);
	/* only the device sets NEEDS_RESET */
	drv_write(&drv, DRV_REG(device_status), STATUS(NEEDS_RESET));
	assert_int_equal(drv_read(&drv, DRV_REG(device_status)) & STATUS(NEEDS_RESET), 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A driver that can do less: the session in place ends, the next one is offered less. */
static void
test_driver_caps(void **state)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.linger_ms = 60000;
	adapter_rig_start(&rig);
	conf.path = rig.vhost_path;
	conf.mem_bytes = 16 * MB;
	conf.features |= TFE_BIT(15); /* MRG_RXBUF */
	assert_int_equal(tfe_dev_open(&dev, &conf), 0);
	drv_plug(&drv, &rig);
	drv_init(&drv, 0, false);
	drv_write(&drv, DRV_REG(driver_cap_features_lo), ~(UINT32_C(1) << 15));
	drv_write(&drv, DRV_REG(driver_cap_vrings), 2);
	drv_write(&drv, DRV_REG(device_status), STATUS(DRIVER_READY));
	assert_int_equal(tfe_conn_wait_closed(&dev.conn, 5000), 0);
	drv_wait_reg(&drv, DRV_REG(conn_state), CONN(NONE));
	/* what the last driver could do counts until another is ready */
	drv_write(&drv, DRV_REG(device_status), 0);
	tfe_dev_disconnect(&dev);
	assert_int_equal(tfe_dev_reconnect(&dev), 0);
	assert_int_equal(dev.offered & TFE_BIT(15), 0);
	assert_int_equal(dev.max_pairs, 1);
	drv_init(&drv, 0, false);
	drv_write(&drv, DRV_REG(driver_cap_features_lo), ~(UINT32_C(1) << 15));
	drv_write(&drv, DRV_REG(device_status), STATUS(DRIVER_READY));
	drv_wait_reg(&drv, DRV_REG(conn_state), CONN(CONNECTED));
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* Connect with logging agreed on, and maybe on. */
static void
open_logging(struct adapter_rig *rig, struct tfe_dev *dev, bool is_on)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	conf.path = rig->vhost_path;
	conf.mem_bytes = 16 * MB;
	conf.protocol_features |= VHOST_USER_PROTOCOL_MASK(LOG_SHMFD);
	if (is_on)
		conf.features |= LOG_ALL;
	assert_int_equal(tfe_dev_open(dev, &conf), 0);
	assert_true(dev->protocol_features & VHOST_USER_PROTOCOL_MASK(LOG_SHMFD));
}

/* LOG_ALL is for drivers that log; LOG_SHMFD alone asks for nothing [ADP-10.6]. */
static void
test_driver_that_does_not_log(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	rig.config.linger_ms = 60000;
	adapter_rig_start(&rig);
	open_logging(&rig, &dev, false);
	assert_true(dev.offered & LOG_ALL);
	drv_plug(&drv, &rig);
	for (unsigned int i = 0; i < 2; i++) {
		/* by the adapter's feature, or by virtio's */
		drv_init(&drv, i == 0 ? 0 : VHOST_PCI_ADAPTER_F_LOG, false);
		if (i == 1)
			drv_write(&drv, DRV_REG(driver_cap_features_lo), ~(uint32_t)LOG_ALL);
		drv_write(&drv, DRV_REG(device_status), 7);
		assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(CONNECTED));
		drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
		/* the next front-end is not promised what this driver does not do */
		tfe_dev_disconnect(&dev);
		drv_wait_reg(&drv, DRV_REG(conn_state), CONN(DISCONNECTED));
		assert_int_equal(tfe_dev_reconnect(&dev), 0);
		assert_false(dev.offered & LOG_ALL);
		assert_true(dev.protocol_offered & VHOST_USER_PROTOCOL_MASK(LOG_SHMFD));
		drv_write(&drv, DRV_REG(conn_control), VHOST_PCI_ADAPTER_CONTROL_RELEASE);
		drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	}
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

/* A session whose writes are to be logged is nothing for a driver that does not. */
static void
test_logging_session_needs_a_driver_that_logs(void **state)
{
	struct adapter_rig rig;
	struct tfe_dev dev;
	struct drv drv;

	(void)state;
	adapter_rig_defaults(&rig);
	adapter_rig_start(&rig);
	open_logging(&rig, &dev, true);
	drv_plug(&drv, &rig);
	drv_init(&drv, VHOST_PCI_ADAPTER_F_LOG, true);
	assert_int_equal(drv_read(&drv, DRV_REG(conn_state)), CONN(CONNECTED));
	drv_recv_replay(&drv, VHOST_USER_SET_STATUS);
	drv_init(&drv, 0, true);
	assert_true(tfe_conn_wait_closed(&dev.conn, 5000) <= 0);
	tfe_dev_close(&dev);
	drv_unplug(&drv);
	adapter_rig_stop(&rig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_reconnect),
	cmocka_unit_test(test_no_driver),
	cmocka_unit_test(test_resets),
	cmocka_unit_test(test_vring_base),
	cmocka_unit_test(test_vring_base_of_driver),
	cmocka_unit_test(test_packed_base_unknown),
	cmocka_unit_test(test_packed_base_of_failed_driver),
	cmocka_unit_test(test_driver_fails),
	cmocka_unit_test(test_corrupted_rings),
	cmocka_unit_test(test_status),
	cmocka_unit_test(test_driver_caps),
	cmocka_unit_test(test_driver_that_does_not_log),
	cmocka_unit_test(test_logging_session_needs_a_driver_that_logs),
};

REGISTER_TEST_GROUP(adapter_conn_autotest, tests, NULL, NULL);
