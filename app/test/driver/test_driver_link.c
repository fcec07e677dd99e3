/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_dev.h>

#include "driver_rig.h"
#include "test_util.h"

#define NB_RECONNECTS 1000

static const struct rig_conf plain;

static void
connect_and_check(struct rig *rig, const struct rig_variant *variant)
{
	struct tfe_dev_conf conf = rig_dev_conf(rig, variant);

	rig_connect(rig, &conf);
	rig_netqs(rig, 2048, NULL);
	rig_check_traffic(rig, 0, 1);
}

/* The link goes up and down with the front-end, any number of times, and events say so. */
/* A link that is down for a moment only was down: two events, however fast the messages come. */
static void
test_lsc_for_each_change(void **state)
{
	const unsigned int nb_rounds = 50;
	struct rig rig;
	unsigned int i;

	rig_open(&rig, &plain, &rig_split, 0, NULL);
	rig_wait_lsc(&rig, 1);
	rig.dev.conn.need_reply = false;
	for (i = 0; i < nb_rounds; i++) {
		assert_int_equal(tfe_req_set_vring_enable(&rig.dev.conn, 0, false), 0);
		assert_int_equal(tfe_req_set_vring_enable(&rig.dev.conn, 0, true), 0);
	}
	rig_wait_lsc(&rig, 1 + 2 * nb_rounds);
	rig_wait_link(&rig, true);
	rig_fini(&rig);
	(void)state;
}

static void
test_lsc(void **state)
{
	struct rig rig;
	unsigned int i;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	rig_wait_link(&rig, false);
	for (i = 0; i < 5; i++) {
		connect_and_check(&rig, i % 2 ? &rig_packed : &rig_split);
		rig_wait_lsc(&rig, 2 * i + 1);
		rig_disconnect(&rig);
		rig_wait_lsc(&rig, 2 * i + 2);
		rig_wait_link(&rig, false);
	}
	assert_int_equal(rig.nb_lsc, 10);
	rig_wait_xstat(&rig, "frontend_lost", 5);
	rig_fini(&rig);
	(void)state;
}

/* Nothing piles up. */
static void
test_reconnects(void **state)
{
	struct tfe_dev_conf conf;
	unsigned int nb_fds = 0;
	unsigned int i;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	conf = rig_dev_conf(&rig, &rig_split);
	conf.mem_bytes = 4 << 20;
	conf.need_reply = false;
	for (i = 0; i < NB_RECONNECTS; i++) {
		rig_connect(&rig, &conf);
		if (i == 0)
			nb_fds = rig_nb_fds();
		else if (i % 100 == 99)
			assert_int_equal(rig_nb_fds(), nb_fds);
		rig_disconnect(&rig);
		rig_wait_link(&rig, false);
	}
	assert_int_equal(rig_xstat(&rig, "frontend_connections"), NB_RECONNECTS);
	connect_and_check(&rig, &rig_packed);
	rig_fini(&rig);
	(void)state;
}

/* A front-end that goes away after each of the steps of its set-up. */
static void
test_lost_at_each_step(void **state)
{
	int (*const steps[])(struct tfe_dev *) = {
		tfe_dev_connect,
		tfe_dev_negotiate,
		tfe_dev_make_rings,
		tfe_dev_send_mem,
		tfe_dev_start_rings,
		tfe_dev_driver_ok,
	};
	struct tfe_dev_conf conf;
	unsigned int i, last;
	struct tfe_dev dev;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	conf = rig_dev_conf(&rig, *state);
	for (last = 0; last < RTE_DIM(steps); last++) {
		assert_int_equal(tfe_dev_init(&dev, &conf), 0);
		for (i = 0; i <= last; i++)
			assert_int_equal(steps[i](&dev), 0);
		tfe_dev_close(&dev);
		rig_wait_xstat(&rig, "frontend_lost", last + 1);
	}
	connect_and_check(&rig, *state);
	rig_fini(&rig);
}

/* One front-end per port: a second one is turned away and the first one does not notice. */
static void
test_second_is_refused(void **state)
{
	struct tfe_conn second;
	struct rig rig;

	rig_open(&rig, &plain, &rig_split, 0, NULL);
	tfe_conn_init(&second);
	assert_int_equal(tfe_conn_connect(&second, rig.path, RIG_TIMEOUT_MS), 0);
	assert_int_equal(tfe_conn_wait_closed(&second, RIG_TIMEOUT_MS), 0);
	tfe_conn_close(&second);
	assert_int_equal(rig_xstat(&rig, "frontend_refused"), 1);
	rig_check_traffic(&rig, 0, 1);
	rig_fini(&rig);
	(void)state;
}

/** A front-end that is refused, and what it has sent by then. */
struct refused {
	const struct rig *rig;
	struct tfe_conn conn;
	int fd;
};

/* On the thread that accepts: it comes to that when all of this is done. */
static void
connect_with_fd(void *arg)
{
	struct refused *refused = arg;
	const uint64_t index = 0;
	struct tfe_msg msg;

	if (tfe_conn_connect(&refused->conn, refused->rig->path, RIG_TIMEOUT_MS) < 0)
		return;
	tfe_msg_init(&msg, TFE_VU_SET_VRING_CALL, &index, sizeof(index));
	tfe_msg_add_fd(&msg, refused->fd);
	tfe_conn_send(&refused->conn, &msg);
}

/* What it has sent is not waited for: its last close would, as long as the front-end likes. */
static void
test_refused_with_lingering_socket(void **state)
{
	struct rig rig;
	struct refused refused = { .rig = &rig };

	rig_open(&rig, &plain, &rig_split, 0, NULL);
	refused.fd = test_lingering_socket();
	tfe_conn_init(&refused.conn);
	assert_int_equal(rte_eal_alarm_set(1, connect_with_fd, &refused), 0);
	rig_wait_xstat(&rig, "frontend_refused", 1);
	assert_int_equal(tfe_conn_wait_closed(&refused.conn, RIG_TIMEOUT_MS), 0);
	assert_false(test_socket_lingers(refused.fd));
	tfe_conn_close(&refused.conn);
	close(refused.fd);
	rig_check_traffic(&rig, 0, 1);
	rig_fini(&rig);
	(void)state;
}

/* client=1: the port connects, whoever is there first, and again and again. */
static void
test_client(void **state)
{
	const struct rig_conf conf = { .devargs = ",client=1" };
	struct tfe_dev_conf dev_conf;
	unsigned int i;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &conf);
	for (i = 0; i < 3; i++) {
		dev_conf = rig_dev_conf(&rig, *state);
		dev_conf.role = TFE_ROLE_SERVER;
		rig_connect(&rig, &dev_conf);
		rig_netqs(&rig, 2048, NULL);
		rig_check_traffic(&rig, 0, 1);
		rig_disconnect(&rig);
		rig_wait_link(&rig, false);
	}
	rig_fini(&rig);
}

static void
test_set_link(void **state)
{
	uint8_t frame[64];
	struct rte_mbuf *m;
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	assert_int_equal(rte_eth_dev_set_link_down(rig.port), 0);
	rig_wait_link(&rig, false);
	tfe_frame_build(frame, sizeof(frame), 1, 1);
	assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
	assert_int_equal(rte_eth_rx_burst(rig.port, 0, &m, 1), 0);
	assert_int_equal(rte_eth_dev_set_link_up(rig.port), 0);
	rig_wait_link(&rig, true);
	rig_rx(&rig, 0, &m, 1);
	rig_check_mbuf(m, frame, sizeof(frame));
	rte_pktmbuf_free(m);
	rig_fini(&rig);
}

/* Stopped, the port leaves the rings alone; started, it goes on where it was. */
static void
test_stop_start(void **state)
{
	uint8_t frame[64];
	struct rte_mbuf *m;
	unsigned int i;
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	for (i = 0; i < 20; i++) {
		rig_check_traffic(&rig, 0, 1);
		assert_int_equal(rte_eth_dev_stop(rig.port), 0);
		rig_wait_link(&rig, false);
		tfe_frame_build(frame, sizeof(frame), 2, i);
		assert_int_equal(tfe_netq_send(&rig.tx[0], NULL, frame, sizeof(frame)), 0);
		if (i % 2)
			rig_port_start(&rig, &plain);
		else
			assert_int_equal(rte_eth_dev_start(rig.port), 0);
		rig_wait_link(&rig, true);
		rig_rx(&rig, 0, &m, 1);
		rig_check_mbuf(m, frame, sizeof(frame));
		rte_pktmbuf_free(m);
	}
	rig_fini(&rig);
}

/* A front-end that stops its rings and starts them again, as at a driver's reload. */
static void
test_ring_stop_start(void **state)
{
	unsigned int i;
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	for (i = 0; i < 300; i++) {
		rig_check_traffic(&rig, 0, 1);
		assert_int_equal(tfe_netq_wait_sent(&rig.tx[0], RIG_TIMEOUT_MS), 0);
		assert_int_equal(tfe_dev_stop(&rig.dev), 0);
		rig_wait_link(&rig, false);
		assert_int_equal(tfe_dev_start(&rig.dev), 0);
		rig_wait_link(&rig, true);
	}
	rig_check_traffic(&rig, 0, 1);
	rig_fini(&rig);
}

/* The port goes while the front-end is connected, and comes again. */
static void
test_detach_attach(void **state)
{
	unsigned int i;
	struct rig rig;

	rig_init(&rig);
	for (i = 0; i < 10; i++) {
		rig_port_open(&rig, &plain);
		connect_and_check(&rig, *state);
		rig_port_close(&rig);
		assert_int_equal(tfe_conn_wait_closed(&rig.dev.conn, RIG_TIMEOUT_MS), 0);
		rig_disconnect(&rig);
	}
	rig_fini(&rig);
}

/* Without a stop or a close: what a hot unplug does. */
static void
test_detach_running(void **state)
{
	struct rig rig;

	rig_open(&rig, &plain, *state, 0, NULL);
	rig_check_traffic(&rig, 0, 1);
	assert_int_equal(rte_eal_hotplug_remove("vdev", rig.vdev), 0);
	rig.has_port = false;
	rig_fini(&rig);
}

/* Leave the process no fd: all that it may have are taken. Returns how many were. */
static unsigned int
take_fds(int *fds, unsigned int max, struct rlimit *before)
{
	struct rlimit limit;
	unsigned int nb;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
	limit = *before;
	limit.rlim_cur = max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (nb = 0; nb < max; nb++) {
		fds[nb] = fcntl(0, F_DUPFD_CLOEXEC, 0);
		if (fds[nb] < 0)
			break;
	}
	assert_int_equal(errno, EMFILE);
	return nb;
}

/* Without fds nobody is let in, and the interrupt thread has time for others all the same. */
static void
test_no_fds(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct rlimit before;
	unsigned int i, nb;
	int fds[256];
	struct rig rig;
	int fd;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig.path);
	nb = take_fds(fds, RTE_DIM(fds), &before);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	for (i = 0; i < 200; i++)
		rig_ping();
	/* Once, and now and then. */
	assert_in_range(rig_xstat(&rig, "frontend_not_accepted"), 1, 50);
	assert_int_equal(rig_xstat(&rig, "frontend_connections"), 0);
	while (nb > 0)
		close(fds[--nb]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	rig_wait_xstat(&rig, "frontend_connections", 1);
	close(fd);
	rig_wait_xstat(&rig, "frontend_lost", 1);
	connect_and_check(&rig, *state);
	rig_fini(&rig);
}

static int
close_port(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret)
{
	struct rte_eth_link link;

	(void)type;
	(void)ret;
	assert_int_equal(rte_eth_link_get_nowait(port, &link), 0);
	if (link.link_status == RTE_ETH_LINK_UP)
		return 0;
	assert_int_equal(rte_eth_dev_stop(port), 0);
	assert_int_equal(rte_eth_dev_close(port), 0);
	__atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
	return 0;
}

/* An application that closes the port in the event itself. */
static void
test_close_in_event(void **state)
{
	bool closed = false;
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	assert_int_equal(rte_eth_dev_callback_register(rig.port, RTE_ETH_EVENT_INTR_LSC, close_port,
					 &closed),
			0);
	connect_and_check(&rig, *state);
	rig_disconnect(&rig);
	rig_wait_lsc(&rig, 2);
	while (!__atomic_load_n(&closed, __ATOMIC_ACQUIRE))
		sched_yield();
	assert_int_equal(rte_eal_hotplug_remove("vdev", rig.vdev), 0);
	rig.has_port = false;
	/* ethdev keeps callbacks by a port's number, and takes them back from valid ports only. */
	rig_port_open(&rig, &plain);
	assert_int_equal(rte_eth_dev_callback_unregister(rig.port, RTE_ETH_EVENT_INTR_LSC,
					 close_port, &closed),
			0);
	connect_and_check(&rig, *state);
	rig_fini(&rig);
}

/* What test_close_in_queue_event() sees. */
struct queue_event {
	bool closed;       /* Atomic. */
	bool lsc_is_early; /* The link's event has come. Interrupt thread. */
	bool lsc_is_late;  /* It has come to a port that is closed. */
};

static int
see_lsc(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret)
{
	struct queue_event *seen = arg;
	struct rte_eth_link link;

	(void)type;
	(void)ret;
	seen->lsc_is_late |= seen->closed;
	if (!seen->closed && rte_eth_link_get_nowait(port, &link) == 0)
		seen->lsc_is_early = link.link_status == RTE_ETH_LINK_DOWN;
	return 0;
}

static int
close_queue_port(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret)
{
	struct queue_event *seen = arg;

	return close_port(port, type, &seen->closed, ret);
}

/* The same in the event of a queue: no event comes for the port that is gone. */
static void
test_close_in_queue_event(void **state)
{
	struct queue_event seen = { 0 };
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	assert_int_equal(rte_eth_dev_callback_register(rig.port, RTE_ETH_EVENT_INTR_LSC, see_lsc,
					 &seen),
			0);
	connect_and_check(&rig, *state);
	assert_int_equal(rte_eth_dev_callback_register(rig.port, RTE_ETH_EVENT_QUEUE_STATE,
					 close_queue_port, &seen),
			0);
	rig_disconnect(&rig);
	while (!__atomic_load_n(&seen.closed, __ATOMIC_ACQUIRE))
		sched_yield();
	rig_ping();
	assert_false(seen.lsc_is_late);
	assert_true(seen.lsc_is_early);
	assert_int_equal(rte_eal_hotplug_remove("vdev", rig.vdev), 0);
	rig.has_port = false;
	rig_port_open(&rig, &plain);
	rte_eth_dev_callback_unregister(rig.port, RTE_ETH_EVENT_INTR_LSC, see_lsc, &seen);
	rte_eth_dev_callback_unregister(rig.port, RTE_ETH_EVENT_QUEUE_STATE, close_queue_port,
			&seen);
	rig_fini(&rig);
}

/* What devargs are refused for. */
static void
test_bad_devargs(void **state)
{
	static const char *const bad[] = {
		",unknown=1",
		",client=2",
		",client=",
		",client=yes",
		",queues=0",
		",queues=129",
		",queues=-1",
		",queues=1x",
		",tso=7",
		",packed=2",
		",legacy-ol-flags=x",
		",mac=1:2:3",
		",mac=ff:ff:ff:ff:ff:ff",
		",max-queue-size=0",
		",max-queue-size=32769",
		",iface=/again",
		",client=0,client=1",
	};
	unsigned int i;
	struct rig rig;

	rig_init(&rig);
	for (i = 0; i < RTE_DIM(bad); i++) {
		if (rig_port_attach(&rig, bad[i]) >= 0)
			fail_msg("%s was accepted", bad[i]);
		assert_int_equal(rig_nb_fds(), rig.nb_fds);
	}
	assert_int_equal(rte_eal_hotplug_add("vdev", rig.vdev, ""), -EINVAL);
	assert_int_equal(rte_eal_hotplug_add("vdev", rig.vdev, "iface="), -EINVAL);
	assert_int_equal(rte_eal_hotplug_add("vdev", rig.vdev, "iface"), -EINVAL);
	assert_int_equal(rte_eal_hotplug_add("vdev", rig.vdev, "client=1"), -EINVAL);
	assert_int_equal(rte_eth_dev_count_avail(), 0);
	/* None of them stands in the way of a good one. */
	rig_port_open(&rig, &plain);
	connect_and_check(&rig, &rig_split);
	rig_fini(&rig);
	(void)state;
}

/* Paths that can't be, or are somebody else's. */
static void
test_bad_paths(void **state)
{
	char args[512];
	struct tfe_conn other;
	struct rig rig;

	rig_init(&rig);
	memset(args, 'x', sizeof(args));
	memcpy(args, "iface=/", 7);
	args[6 + 108] = '\0';
	assert_int_equal(rte_eal_hotplug_add("vdev", rig.vdev, args), -ENAMETOOLONG);
	snprintf(args, sizeof(args), "iface=%s/none/sock", rig.dir);
	assert_int_equal(rte_eal_hotplug_add("vdev", rig.vdev, args), -ENOENT);
	/* A folder, or a file that is no socket. */
	snprintf(args, sizeof(args), "iface=%s", rig.dir);
	assert_true(rte_eal_hotplug_add("vdev", rig.vdev, args) < 0);
	/* Another process listens. */
	tfe_conn_init(&other);
	assert_int_equal(tfe_conn_listen(&other, rig.path), 0);
	assert_int_equal(rig_port_attach(&rig, NULL), -EADDRINUSE);
	tfe_conn_close(&other);
	assert_int_equal(rte_eth_dev_count_avail(), 0);
	rig_fini(&rig);
	(void)state;
}

/* Two ports, one path: whether they listen or connect. */
static void
test_second_port(void **state)
{
	struct rig rig;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	assert_int_equal(rte_eal_hotplug_add("vdev", "net_vpci_second", rig.devargs), -EADDRINUSE);
	connect_and_check(&rig, &rig_split);
	rig_fini(&rig);
	(void)state;
}

/* A socket file that nobody listens on is in nobody's way. */
static void
test_stale_socket(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct rig rig;
	int fd;

	rig_init(&rig);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	rig_port_open(&rig, &plain);
	connect_and_check(&rig, &rig_split);
	rig_fini(&rig);
	(void)state;
}

/* A file that took the place of the port's own is not the port's to remove. */
static void
test_replaced_socket(void **state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct rig rig;
	int fd;

	rig_init(&rig);
	rig_port_open(&rig, &plain);
	assert_int_equal(unlink(rig.path), 0);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", rig.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	rig_port_close(&rig);
	assert_int_equal(unlink(rig.path), 0);
	close(fd);
	rig_fini(&rig);
	(void)state;
}

#define BOTH(test) RIG_TEST(test, split), RIG_TEST(test, packed)

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_lsc),
	cmocka_unit_test(test_lsc_for_each_change),
	cmocka_unit_test(test_reconnects),
	BOTH(test_lost_at_each_step),
	cmocka_unit_test(test_second_is_refused),
	cmocka_unit_test(test_refused_with_lingering_socket),
	BOTH(test_client),
	BOTH(test_set_link),
	BOTH(test_stop_start),
	BOTH(test_ring_stop_start),
	BOTH(test_detach_attach),
	RIG_TEST(test_detach_running, split),
	RIG_TEST(test_no_fds, split),
	RIG_TEST(test_close_in_event, split),
	RIG_TEST(test_close_in_queue_event, split),
	cmocka_unit_test(test_bad_devargs),
	cmocka_unit_test(test_bad_paths),
	cmocka_unit_test(test_second_port),
	cmocka_unit_test(test_stale_socket),
	cmocka_unit_test(test_replaced_socket),
};

REGISTER_TEST_GROUP(driver_link_autotest, tests, rig_group_setup, rig_group_teardown);
