/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The faults that a front-end commits by itself; those that are done to it are soak.py's. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "soak_frontend.h"
#include "tfe_time.h"

#define PAGE UINT64_C(4096)

#define GARBAGE_BYTES  4096
#define NB_MESSAGES    32
#define NB_REQUESTS    (TFE_VU_REQUEST_LAST + 3)
#define NB_FDS         10
#define NB_RING_ROUNDS 300

/** Longest time for which the rings or the socket are left alone. */
#define SLOW_MS 2000

/** The most that an eventfd counts to. */
#define EVENTFD_FULL (UINT64_MAX - 1)

uint64_t
soak_random(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t
below(struct soak_frontend *fe, uint64_t end)
{
	return soak_random(&fe->seed) % end;
}

static void
fill(struct soak_frontend *fe, uint8_t *bytes, size_t nb)
{
	while (nb-- > 0)
		bytes[nb] = (uint8_t)soak_random(&fe->seed);
}

/** Nothing more is said: the back-end has to close its end, too. */
static enum soak_next
end_talk(struct soak_frontend *fe)
{
	shutdown(fe->dev.conn.fd, SHUT_WR);
	return tfe_conn_wait_closed(&fe->dev.conn, SOAK_TIMEOUT_MS) == -ETIMEDOUT ? SOAK_HANG
										  : SOAK_END;
}

/** The memory's file ends before the rings that the back-end polls. */
static enum soak_next
fault_truncate(struct soak_frontend *fe)
{
	const struct tfe_region *region = &fe->dev.mem.regions[0];
	uint64_t bytes = below(fe, region->mmap_offset / PAGE + 3) * PAGE;

	if (ftruncate(region->fd, (off_t)bytes) < 0)
		return SOAK_HANG;
	return tfe_conn_wait_closed(&fe->dev.conn, SOAK_TIMEOUT_MS) == -ETIMEDOUT ? SOAK_HANG
										  : SOAK_END;
}

/** The file ends anywhere, so that the back-end may not come upon it at all. */
static enum soak_next
fault_cut(struct soak_frontend *fe)
{
	const struct tfe_region *region = &fe->dev.mem.regions[0];
	uint64_t nb_pages = (region->mmap_offset + region->used_bytes) / PAGE;

	if (ftruncate(region->fd, (off_t)(below(fe, nb_pages) * PAGE)) < 0)
		return SOAK_HANG;
	tfe_ring_kick(tfe_dev_transmitq(&fe->dev, 0));
	return end_talk(fe);
}

static enum soak_next
fault_garbage(struct soak_frontend *fe)
{
	uint8_t bytes[GARBAGE_BYTES];
	size_t nb = 1 + below(fe, sizeof(bytes));

	fill(fe, bytes, nb);
	/* The back-end may close in the midst of it. */
	tfe_conn_send_raw(&fe->dev.conn, bytes, nb, NULL, 0);
	return end_talk(fe);
}

/** A message that has the form of one, and no sense. */
static void
make_message(struct soak_frontend *fe, struct tfe_msg *msg)
{
	static const uint32_t sizes[] = { 0, 4, 8, 8, 8, 12, 16, 20, 32, 40, 72, 264 };
	const int fds[] = { fe->dev.mem.regions[0].fd, fe->dev.rings[0].call_fd,
		fe->dev.rings[1].kick_fd, fe->dev.conn.fd };
	uint64_t nb_fds = below(fe, 3) == 0 ? below(fe, NB_FDS) : below(fe, 2);
	uint32_t i, word;

	tfe_msg_init(msg, (uint32_t)below(fe, NB_REQUESTS), NULL,
			below(fe, 8) == 0 ? (uint32_t)below(fe, 512)
					  : sizes[below(fe, sizeof(sizes) / sizeof(sizes[0]))]);
	if (below(fe, 2) == 0)
		msg->hdr.flags |= TFE_VU_NEED_REPLY;
	if (below(fe, 16) == 0)
		msg->hdr.flags ^= (uint32_t)below(fe, 16);
	for (i = 0; i < msg->hdr.size; i += sizeof(word)) {
		word = (uint32_t)below(fe, below(fe, 2) == 0 ? 4 : UINT32_MAX);
		memcpy(msg->raw + i, &word, sizeof(word));
	}
	while (nb_fds-- > 0)
		tfe_msg_add_fd(msg, fds[below(fe, sizeof(fds) / sizeof(fds[0]))]);
}

static enum soak_next
fault_message(struct soak_frontend *fe)
{
	struct tfe_msg msg;
	uint64_t nb;

	for (nb = 1 + below(fe, NB_MESSAGES); nb > 0; nb--) {
		make_message(fe, &msg);
		if (tfe_conn_send(&fe->dev.conn, &msg) < 0)
			break;
	}
	return end_talk(fe);
}

/** Anything, anywhere in the part of a ring that the driver writes. */
static void
spoil(struct soak_frontend *fe, struct tfe_ring *ring)
{
	const struct tfe_buf *bufs[] = { &ring->desc_buf, &ring->driver_buf, &ring->desc_buf,
		&ring->table_buf };
	const struct tfe_buf *buf = bufs[below(fe, ring->table_descs > 0 ? 4 : 3)];
	uint64_t nb_words = buf->size_bytes / sizeof(uint16_t);
	uint16_t *words = buf->va;
	uint16_t value = (uint16_t)below(fe, below(fe, 2) == 0 ? 16 : UINT16_MAX);

	/* Where the indexes are is more often worth it. */
	__atomic_store_n(&words[below(fe, below(fe, 4) == 0 ? 4 : nb_words)], value,
			__ATOMIC_RELAXED);
}

/** Rings whose memory changes below the back-end's hands. */
static enum soak_next
fault_ring(struct soak_frontend *fe)
{
	unsigned int round, i;
	int ret = 0;

	for (round = 0; round < NB_RING_ROUNDS && ret == 0; round++) {
		for (i = 0; i < 8; i++)
			spoil(fe, &fe->dev.rings[below(fe, fe->dev.nb_rings)]);
		tfe_ring_kick(&fe->dev.rings[round % fe->dev.nb_rings]);
		ret = tfe_conn_poll(&fe->dev.conn, 1);
	}
	return end_talk(fe);
}

static enum soak_next
fault_slow(struct soak_frontend *fe)
{
	fe->idle_end_ns = tfe_deadline_ns((int)below(fe, SLOW_MS));
	return SOAK_GO_ON;
}

/** A message that stops in the midst, for a while or for good. */
static enum soak_next
fault_partial(struct soak_frontend *fe)
{
	struct tfe_vu_hdr hdr = { TFE_VU_GET_FEATURES, TFE_VU_VERSION, 0 };
	struct tfe_conn *conn = &fe->dev.conn;
	size_t nb = 1 + below(fe, sizeof(hdr) - 1);
	struct tfe_msg reply;

	if (tfe_conn_send_raw(conn, &hdr, nb, NULL, 0) < 0 ||
			tfe_conn_poll(conn, (int)below(fe, SLOW_MS)) != 0)
		return SOAK_END;
	if (below(fe, 2) == 0)
		return end_talk(fe);
	conn->timeout_ms = SOAK_TIMEOUT_MS;
	if (tfe_conn_send_raw(conn, (uint8_t *)&hdr + nb, sizeof(hdr) - nb, NULL, 0) < 0)
		return SOAK_END;
	return tfe_conn_recv(conn, &reply) == -ETIMEDOUT ? SOAK_HANG : SOAK_GO_ON;
}

/** Event counters that are full; half of the time, such that a write to them would block. */
static enum soak_next
fault_eventfd(struct soak_frontend *fe)
{
	bool blocks = below(fe, 2) == 0;
	uint64_t value;
	unsigned int i;

	for (i = 0; i < fe->dev.nb_rings; i++) {
		struct tfe_ring *ring = &fe->dev.rings[i];

		if (read(ring->call_fd, &value, sizeof(value)) < 0 && errno != EAGAIN)
			return SOAK_HANG;
		value = EVENTFD_FULL;
		if (write(ring->call_fd, &value, sizeof(value)) < 0 && errno != EAGAIN)
			return SOAK_HANG;
		if (blocks)
			fcntl(ring->call_fd, F_SETFL, 0);
		tfe_ring_want_calls(ring, true);
	}
	return SOAK_GO_ON;
}

static const struct {
	const char *name;
	enum soak_next (*commit)(struct soak_frontend *fe);
} faults[] = {
	{ "truncate", fault_truncate },
	{ "cut", fault_cut },
	{ "garbage", fault_garbage },
	{ "message", fault_message },
	{ "ring", fault_ring },
	{ "slow", fault_slow },
	{ "partial", fault_partial },
	{ "eventfd", fault_eventfd },
};

int
soak_fault(struct soak_frontend *fe, const char *name, enum soak_next *next)
{
	unsigned int i;

	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		if (strcmp(faults[i].name, name) == 0) {
			*next = faults[i].commit(fe);
			return 0;
		}
	return -EINVAL;
}
