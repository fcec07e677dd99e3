/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "driver_rig.h"

#include <dirent.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_interrupts.h>
#include <rte_pause.h>

#include "test_util.h"

/** Memory that the EAL gets, without hugepages. */
#define EAL_MEGABYTES "96"

struct rig_variant rig_split = { .name = "split" };
struct rig_variant rig_packed = { .name = "packed", .features = F(F_RING_PACKED) };
struct rig_variant rig_split_event = {
	.name = "split, event index",
	.features = F(RING_F_EVENT_IDX) | F(RING_F_INDIRECT_DESC),
};
struct rig_variant rig_packed_event = {
	.name = "packed, event index",
	.features = F(F_RING_PACKED) | F(RING_F_EVENT_IDX) | F(RING_F_INDIRECT_DESC),
};
struct rig_variant rig_split_in_order = {
	.name = "split, in order",
	.features = F(F_IN_ORDER),
};
struct rig_variant rig_packed_in_order = {
	.name = "packed, in order",
	.features = F(F_RING_PACKED) | F(F_IN_ORDER),
};
struct rig_variant rig_legacy = { .name = "legacy", .legacy = true };

static bool eal_is_up;
static int ping_fd;
static unsigned int nb_pings; /* Atomic. */

/** At the program's end: what EAL leaves in its runtime folder goes too. */
static void
eal_end(void)
{
	char dir[PATH_MAX], path[PATH_MAX + NAME_MAX + 2];
	struct dirent *entry;
	DIR *files;

	snprintf(dir, sizeof(dir), "%s", rte_eal_get_runtime_dir());
	rte_eal_cleanup();
	files = opendir(dir);
	if (files == NULL)
		return;
	while ((entry = readdir(files)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		unlink(path);
	}
	closedir(files);
	rmdir(dir);
}

/** A ping has come to EAL's interrupt thread. */
static void
on_ping(void *arg)
{
	uint64_t count;

	(void)arg;
	if (read(ping_fd, &count, sizeof(count)) > 0)
		__atomic_add_fetch(&nb_pings, 1, __ATOMIC_RELEASE);
}

static int
ping_setup(void)
{
	struct rte_intr_handle *handle = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	int ret;

	ping_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (handle == NULL || ping_fd < 0 || rte_intr_fd_set(handle, ping_fd) != 0 ||
			rte_intr_type_set(handle, RTE_INTR_HANDLE_EXT) != 0)
		return -1;
	ret = rte_intr_callback_register(handle, on_ping, NULL);
	rte_intr_instance_free(handle);
	return ret;
}

int
rig_group_setup(void **state)
{
	const char *bits = getenv("VHOST_PCI_SIMD_BITS");
	char prefix[48], lcores[32], simd[48];
	const char *const args[] = {
		"vhost-pci-driver-test",
		"--no-huge",
		"-m",
		EAL_MEGABYTES,
		"--no-pci",
		"--log-level=pmd.net.vhost_pci:error",
		lcores,
		prefix,
		simd,
	};
	char *copies[RTE_DIM(args)];
	char *argv[RTE_DIM(args) + 1];
	unsigned int i;

	(void)state;
	if (eal_is_up)
		return 0;
	snprintf(prefix, sizeof(prefix), "--file-prefix=vpcitest%d", (int)getpid());
	/* Tests run side by side, and EAL ties each to one processor. */
	snprintf(lcores, sizeof(lcores), "--lcores=0@%d",
			(int)getpid() % (int)sysconf(_SC_NPROCESSORS_ONLN));
	/* Bursts for another instruction set than the usual one; 256 is what the EAL allows itself.
	 */
	snprintf(simd, sizeof(simd), "--force-max-simd-bitwidth=%s", bits != NULL ? bits : "256");
	for (i = 0; i < RTE_DIM(args); i++)
		argv[i] = copies[i] = strdup(args[i]);
	argv[i] = NULL;
	eal_is_up = rte_eal_init((int)i, argv) >= 0 && atexit(eal_end) == 0;
	/* Not through argv, in which EAL puts things in another order. */
	while (i-- > 0)
		free(copies[i]);
	return eal_is_up ? ping_setup() : -1;
}

int
rig_group_teardown(void **state)
{
	(void)state;
	return 0;
}

/** The moment after which something has failed. */
static uint64_t
deadline(void)
{
	return rte_get_timer_cycles() + rte_get_timer_hz() / 1000 * RIG_TIMEOUT_MS;
}

static bool
is_late(uint64_t end)
{
	/* Whatever is waited for may need this processor. */
	sched_yield();
	return rte_get_timer_cycles() > end;
}

void
rig_ping(void)
{
	unsigned int seen = __atomic_load_n(&nb_pings, __ATOMIC_ACQUIRE);
	uint64_t end = deadline();
	uint64_t one = 1;

	assert_int_equal(write(ping_fd, &one, sizeof(one)), sizeof(one));
	while (__atomic_load_n(&nb_pings, __ATOMIC_ACQUIRE) == seen)
		assert_false(is_late(end));
}

unsigned int
rig_nb_fds(void)
{
	rig_ping();
	rig_ping();
	return test_nb_fds();
}

void
rig_init(struct rig *rig)
{
	static unsigned int nb_rigs;

	memset(rig, 0, sizeof(*rig));
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/vpci-driver-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
	snprintf(rig->path, sizeof(rig->path), "%s/sock", rig->dir);
	snprintf(rig->vdev, sizeof(rig->vdev), "net_vpci%u", nb_rigs++);
	rig->nb_fds = rig_nb_fds();
}

void
rig_fini(struct rig *rig)
{
	rig_disconnect(rig);
	rig_port_close(rig);
	if (rig->pool != NULL) {
		assert_int_equal(rte_mempool_avail_count(rig->pool), rig->pool->size);
		rte_mempool_free(rig->pool);
	}
	assert_int_equal(rig_nb_fds(), rig->nb_fds);
	/* The port has taken its socket file with it. */
	assert_int_equal(rmdir(rig->dir), 0);
}

static int
on_lsc(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret)
{
	struct rig *rig = arg;

	(void)type;
	(void)ret;
	if (port == rig->port)
		__atomic_add_fetch(&rig->nb_lsc, 1, __ATOMIC_RELEASE);
	return 0;
}

/** The mode that all ports have; NULL: each its own. */
static const char *
zcopy_mode(const char *devargs)
{
	return devargs != NULL && strstr(devargs, "zero-copy=") != NULL ? NULL
									: getenv(RIG_ZCOPY_ENV);
}

int
rig_port_attach(struct rig *rig, const char *devargs)
{
	const char *zcopy = zcopy_mode(devargs);
	int ret;

	snprintf(rig->devargs, sizeof(rig->devargs), "iface=%s%s%s%s", rig->path,
			devargs == NULL ? "" : devargs,
			zcopy == NULL ? "" : ",copybreak=" RIG_COPYBREAK ",zero-copy=",
			zcopy == NULL ? "" : zcopy);
	ret = rte_eal_hotplug_add("vdev", rig->vdev, rig->devargs);
	if (ret < 0)
		return ret;
	assert_int_equal(rte_eth_dev_get_port_by_name(rig->vdev, &rig->port), 0);
	rig->has_port = true;
	assert_int_equal(rte_eth_dev_callback_register(rig->port, RTE_ETH_EVENT_INTR_LSC, on_lsc,
					 rig),
			0);
	return 0;
}

static struct rte_mempool *
make_pool(const struct rig *rig, const struct rig_conf *conf)
{
	uint32_t nb = conf->nb_mbufs == 0 ? 1023 : conf->nb_mbufs;
	uint16_t room = conf->room == 0 ? 2048 : conf->room;

	return rte_pktmbuf_pool_create(rig->vdev, nb, 0, 0, room + RTE_PKTMBUF_HEADROOM,
			SOCKET_ID_ANY);
}

void
rig_port_start(struct rig *rig, const struct rig_conf *conf)
{
	struct rte_eth_conf eth_conf = {
		.rxmode.offloads = conf->rx_offloads,
		.txmode.offloads = conf->tx_offloads,
		.intr_conf = { .lsc = 1, .rxq = conf->rxq_intr },
	};
	const char *zcopy = zcopy_mode(conf->devargs);
	uint16_t i;

	/* Headers and payload in an mbuf each are for who takes several. */
	if (zcopy != NULL && strcmp(zcopy, "split") == 0 && conf->room == 0)
		eth_conf.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	rig->nb_queues = conf->nb_queues == 0 ? 1 : conf->nb_queues;
	if (rig->pool == NULL)
		rig->pool = make_pool(rig, conf);
	assert_non_null(rig->pool);
	assert_int_equal(rte_eth_dev_configure(rig->port, rig->nb_queues, rig->nb_queues,
					 &eth_conf),
			0);
	for (i = 0; i < rig->nb_queues; i++) {
		assert_int_equal(rte_eth_rx_queue_setup(rig->port, i, 256, SOCKET_ID_ANY, NULL,
						 rig->pool),
				0);
		assert_int_equal(rte_eth_tx_queue_setup(rig->port, i, 256, SOCKET_ID_ANY, NULL), 0);
	}
	assert_int_equal(rte_eth_dev_start(rig->port), 0);
}

void
rig_port_open(struct rig *rig, const struct rig_conf *conf)
{
	char devargs[64];
	uint16_t nb_pairs = RTE_MAX(conf->nb_queues == 0 ? 1 : conf->nb_queues, conf->nb_pairs);

	snprintf(devargs, sizeof(devargs), ",queues=%u%s", nb_pairs,
			conf->devargs == NULL ? "" : conf->devargs);
	assert_int_equal(rig_port_attach(rig, devargs), 0);
	rig_port_start(rig, conf);
}

void
rig_port_close(struct rig *rig)
{
	if (!rig->has_port)
		return;
	rig->has_port = false;
	assert_int_equal(rte_eth_dev_stop(rig->port), 0);
	rte_eth_dev_callback_unregister(rig->port, RTE_ETH_EVENT_INTR_LSC, on_lsc, rig);
	assert_int_equal(rte_eth_dev_close(rig->port), 0);
	assert_int_equal(rte_eal_hotplug_remove("vdev", rig->vdev), 0);
}

struct tfe_dev_conf
rig_dev_conf(const struct rig *rig, const struct rig_variant *variant)
{
	struct tfe_dev_conf conf = TFE_DEV_CONF_DEFAULT;

	conf.path = rig->path;
	conf.timeout_ms = RIG_TIMEOUT_MS;
	conf.features |= variant->features;
	conf.required_features |= variant->features;
	if (variant->legacy)
		conf.features &= ~F(F_VERSION_1);
	conf.nb_pairs = rig->nb_queues;
	conf.mem_bytes = UINT64_C(64) << 20;
	return conf;
}

void
rig_connect(struct rig *rig, const struct tfe_dev_conf *conf)
{
	assert_int_equal(tfe_dev_open(&rig->dev, conf), 0);
	rig->has_dev = true;
	rig_wait_link(rig, true);
}

void
rig_netqs(struct rig *rig, uint32_t buf_bytes, const struct tfe_net_layout *layout)
{
	static const struct tfe_net_layout single;
	unsigned int i;

	if (layout == NULL)
		layout = &single;
	assert_true(rig->dev.nb_rings / 2 <= RTE_DIM(rig->tx));
	for (i = 0; i < rig->dev.nb_rings / 2; i++) {
		assert_int_equal(tfe_netq_init(&rig->rx[i], &rig->dev, 2 * i, buf_bytes, layout),
				0);
		assert_int_equal(tfe_netq_init(&rig->tx[i], &rig->dev, 2 * i + 1, buf_bytes,
						 layout),
				0);
		rig->nb_netqs++;
	}
}

void
rig_disconnect(struct rig *rig)
{
	for (; rig->nb_netqs > 0; rig->nb_netqs--) {
		tfe_netq_fini(&rig->rx[rig->nb_netqs - 1]);
		tfe_netq_fini(&rig->tx[rig->nb_netqs - 1]);
	}
	if (rig->has_dev)
		tfe_dev_close(&rig->dev);
	rig->has_dev = false;
}

void
rig_open(struct rig *rig, const struct rig_conf *conf, const struct rig_variant *variant,
		uint64_t features, const struct tfe_net_layout *layout)
{
	struct tfe_dev_conf dev_conf;

	rig_init(rig);
	rig_port_open(rig, conf);
	dev_conf = rig_dev_conf(rig, variant);
	dev_conf.features |= features;
	dev_conf.required_features |= features;
	rig_connect(rig, &dev_conf);
	rig_netqs(rig, 2048, layout);
}

void
rig_wait_link(const struct rig *rig, bool up)
{
	uint64_t end = deadline();
	struct rte_eth_link link;

	do {
		assert_int_equal(rte_eth_link_get_nowait(rig->port, &link), 0);
		assert_false(is_late(end));
	} while ((link.link_status == RTE_ETH_LINK_UP) != up);
}

void
rig_wait_lsc(const struct rig *rig, unsigned int nb)
{
	uint64_t end = deadline();

	while (__atomic_load_n(&rig->nb_lsc, __ATOMIC_ACQUIRE) < nb)
		assert_false(is_late(end));
}

void
rig_rx(const struct rig *rig, uint16_t queue, struct rte_mbuf **mbufs, unsigned int nb)
{
	uint64_t end = deadline();
	unsigned int done = 0;

	while (done < nb) {
		done += rte_eth_rx_burst(rig->port, queue, &mbufs[done], (uint16_t)(nb - done));
		assert_false(is_late(end));
	}
}

void
rig_rx_none(struct rig *rig, uint16_t queue)
{
	uint64_t end = deadline();
	struct rte_mbuf *mbufs[RIG_MAX_BURST];

	while (tfe_netq_wait_sent(&rig->tx[queue], 0) != 0) {
		assert_int_equal(rte_eth_rx_burst(rig->port, queue, mbufs, RIG_MAX_BURST), 0);
		assert_false(is_late(end));
	}
	assert_int_equal(rte_eth_rx_burst(rig->port, queue, mbufs, RIG_MAX_BURST), 0);
}

void
rig_tx(const struct rig *rig, uint16_t queue, struct rte_mbuf **mbufs, unsigned int nb)
{
	assert_int_equal(rte_eth_tx_burst(rig->port, queue, mbufs, (uint16_t)nb), nb);
}

struct rte_mbuf *
rig_mbuf(const struct rig *rig, const void *bytes, uint32_t len, uint32_t seg_bytes)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(rig->pool);
	struct rte_mbuf *m = head;
	const uint8_t *from = bytes;
	uint32_t part, room;

	assert_non_null(head);
	for (;;) {
		room = seg_bytes == 0 ? rte_pktmbuf_tailroom(m) : seg_bytes;
		part = RTE_MIN(len, room);
		memcpy(rte_pktmbuf_append(m, (uint16_t)part), from, part);
		if (m != head)
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
		from += part;
		len -= part;
		if (len == 0)
			return head;
		m = rte_pktmbuf_alloc(rig->pool);
		assert_non_null(m);
	}
}

void
rig_check_mbuf(const struct rte_mbuf *m, const void *bytes, uint32_t len)
{
	const uint8_t *expected = bytes;
	const char *reason;

	assert_int_equal(rte_mbuf_check(m, 1, &reason), 0);
	assert_int_equal(m->pkt_len, len);
	for (; m != NULL; m = m->next) {
		assert_memory_equal(rte_pktmbuf_mtod(m, void *), expected, m->data_len);
		expected += m->data_len;
	}
}

void
rig_check_traffic(struct rig *rig, uint16_t queue, uint16_t id)
{
	uint8_t frame[64];
	struct tfe_pkt pkt;
	struct rte_mbuf *m;

	tfe_frame_build(frame, sizeof(frame), id, id);
	assert_int_equal(tfe_netq_send(&rig->tx[queue], NULL, frame, sizeof(frame)), 0);
	rig_rx(rig, queue, &m, 1);
	assert_int_equal(m->port, rig->port);
	rig_check_mbuf(m, frame, sizeof(frame));
	assert_int_equal(tfe_netq_post(&rig->rx[queue], 1), 1);
	rig_tx(rig, queue, &m, 1);
	assert_int_equal(tfe_netq_recv(&rig->rx[queue], &pkt, RIG_TIMEOUT_MS), 1);
	assert_int_equal(pkt.len_bytes, sizeof(frame));
	assert_memory_equal(pkt.frame, frame, sizeof(frame));
}

uint64_t
rig_xstat(const struct rig *rig, const char *name)
{
	uint64_t id, value;

	assert_int_equal(rte_eth_xstats_get_id_by_name(rig->port, name, &id), 0);
	assert_int_equal(rte_eth_xstats_get_by_id(rig->port, &id, &value, 1), 1);
	return value;
}

void
rig_wait_xstat(const struct rig *rig, const char *name, uint64_t value)
{
	uint64_t end = deadline();

	while (rig_xstat(rig, name) != value)
		assert_false(is_late(end));
}

void
rig_run_anywhere(pthread_t thread)
{
	long nb = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t cpus;
	long i;

	CPU_ZERO(&cpus);
	for (i = 0; i < nb && i < CPU_SETSIZE; i++)
		CPU_SET(i, &cpus);
	assert_int_equal(pthread_setaffinity_np(thread, sizeof(cpus), &cpus), 0);
}
