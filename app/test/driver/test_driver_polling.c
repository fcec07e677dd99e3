/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* Two sides that poll tell each other nothing: no kick, no call, no system call. */

#include <unistd.h>

#include "bench_syscall.h"
#include "driver_rig.h"
#include "tfe_gen.h"

#define NB_PACKETS 1000000u
#define BURST      32
#define NB_WARM_UP 10000u

/* One turn of both sides; returns the packets that the port has moved. */
typedef unsigned int (*turn_t)(const struct rig *rig);

static unsigned int
receive(const struct rig *rig)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t nb = rte_eth_rx_burst(rig->port, 0, mbufs, BURST);

	rte_pktmbuf_free_bulk(mbufs, nb);
	return nb;
}

static unsigned int
transmit(const struct rig *rig)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t nb, i;

	if (rte_pktmbuf_alloc_bulk(rig->pool, mbufs, BURST) != 0)
		return 0;
	for (i = 0; i < BURST; i++) {
		memset(rte_pktmbuf_mtod(mbufs[i], void *), 0, 64);
		mbufs[i]->data_len = 64;
		mbufs[i]->pkt_len = 64;
	}
	nb = rte_eth_tx_burst(rig->port, 0, mbufs, BURST);
	rte_pktmbuf_free_bulk(&mbufs[nb], BURST - nb);
	return nb;
}

/* Both sides in turn, until so many packets were moved; false where a side fails. */
static bool
run(const struct rig *rig, struct tfe_gen *gen, turn_t turn, unsigned int nb_packets)
{
	unsigned int done = 0, idle = 0;

	while (done < nb_packets && idle < 1000) {
		unsigned int nb;

		if (tfe_gen_poll(gen) < 0)
			return false;
		nb = turn(rig);
		idle = nb == 0 ? idle + 1 : 0;
		done += nb;
	}
	return done >= nb_packets;
}

static void
check_silence(struct rig *rig, enum tfe_gen_dir dir, turn_t turn, const char *xstat)
{
	const struct tfe_gen_conf conf = { .dir = dir, .frame_bytes = 64, .buf_bytes = 2048 };
	struct tfe_gen_stats before, after;
	uint64_t nb_calls, nb_syscalls;
	struct tfe_gen *gen;
	bool is_counting, ok;

	assert_int_equal(tfe_gen_create(&gen, &rig->dev, 0, &conf), 0);
	assert_true(run(rig, gen, turn, NB_WARM_UP));
	tfe_gen_stats(gen, &before);
	nb_calls = rig_xstat(rig, xstat);
	is_counting = bench_syscall_start() == 0;
	ok = run(rig, gen, turn, NB_PACKETS);
	nb_syscalls = bench_syscall_stop();
	assert_true(ok);
	tfe_gen_stats(gen, &after);
	assert_int_equal(after.nb_kicks - before.nb_kicks, 0);
	assert_int_equal(rig_xstat(rig, xstat) - nb_calls, 0);
	if (is_counting)
		assert_int_equal(nb_syscalls, 0);
	else
		print_message("this kernel can't count system calls of a thread\n");
	tfe_gen_destroy(gen);
}

/* What the other tests count with does count. */
static void
test_syscalls_are_counted(void **state)
{
	(void)state;
	if (bench_syscall_start() < 0) {
		bench_syscall_stop();
		print_message("# this kernel does not let system calls be counted\n");
		skip();
	}
	(void)getppid();
	(void)getppid();
	assert_int_equal(bench_syscall_stop(), 2);
}

static void
test_rx_silence(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rig rig;

	rig_open(&rig, &conf, *state, 0, NULL);
	check_silence(&rig, TFE_GEN_TRANSMIT, receive, "rx_q0_guest_notifications");
	rig_fini(&rig);
}

static void
test_tx_silence(void **state)
{
	const struct rig_conf conf = { 0 };
	struct rig rig;

	rig_open(&rig, &conf, *state, F(NET_F_MRG_RXBUF), NULL);
	check_silence(&rig, TFE_GEN_RECEIVE, transmit, "tx_q0_guest_notifications");
	rig_fini(&rig);
}

#define EVENTS(test) \
	RIG_TEST(test, split), RIG_TEST(test, packed), RIG_TEST(test, split_event), \
			RIG_TEST(test, packed_event)

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_syscalls_are_counted),
	EVENTS(test_rx_silence),
	EVENTS(test_tx_silence),
};

REGISTER_TEST_GROUP(driver_polling_autotest, tests, rig_group_setup, rig_group_teardown);
