/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tfe_net.h"
#include "tfe_time.h"

/* What stands between pieces, and in a receive buffer before the device writes to it. */
#define GUARD_BYTES 16
#define GUARD_VALUE 0xa5

static int
add_pieces(struct tfe_netq *q, uint32_t nb_bytes, uint32_t piece_bytes)
{
	if (piece_bytes == 0)
		piece_bytes = nb_bytes;
	while (nb_bytes > 0) {
		uint32_t len_bytes = nb_bytes < piece_bytes ? nb_bytes : piece_bytes;

		if (q->nb_pieces == TFE_NET_SEGS)
			return -EINVAL;
		q->pieces[q->nb_pieces++] = (struct tfe_net_piece){
			.offset = q->stride_bytes,
			.len_bytes = len_bytes,
		};
		q->stride_bytes += len_bytes + GUARD_BYTES;
		nb_bytes -= len_bytes;
	}
	return 0;
}

/* Cut a buffer into pieces as the layout says. */
static int
make_pieces(struct tfe_netq *q, uint32_t buf_bytes)
{
	const struct tfe_net_layout *layout = &q->layout;
	const uint32_t hdr_bytes = q->dev->hdr_bytes;
	uint32_t first_bytes = buf_bytes;
	int ret;

	if (layout->split_header) {
		ret = add_pieces(q, hdr_bytes, layout->hdr_seg_bytes);
		q->nb_hdr_pieces = q->nb_pieces;
	} else {
		/* The header shares the first piece with the frame's first one. */
		if (layout->seg_bytes != 0 && layout->seg_bytes < buf_bytes)
			first_bytes = layout->seg_bytes;
		ret = add_pieces(q, hdr_bytes + first_bytes, 0);
		buf_bytes -= first_bytes;
	}
	if (ret == 0)
		ret = add_pieces(q, buf_bytes, layout->seg_bytes);
	/* Buffers start at odd places: no alignment is promised to the device. */
	q->stride_bytes += q->stride_bytes % 2 == 0 ? 1 : 2;
	return ret;
}

int
tfe_netq_init(struct tfe_netq *q, struct tfe_dev *dev, unsigned int vring, uint32_t buf_bytes,
		const struct tfe_net_layout *layout)
{
	int ret;

	if (vring >= dev->nb_rings)
		return -EINVAL;
	*q = (struct tfe_netq){ .dev = dev, .ring = &dev->rings[vring] };
	if (layout != NULL)
		q->layout = *layout;
	ret = make_pieces(q, buf_bytes);
	if (ret < 0)
		return ret;
	q->nb_bufs = q->ring->size;
	q->packet = malloc(TFE_NET_PACKET_BYTES);
	q->free_bufs = calloc(q->nb_bufs, sizeof(q->free_bufs[0]));
	ret = -ENOMEM;
	if (q->packet != NULL && q->free_bufs != NULL)
		ret = tfe_mem_alloc(&dev->mem, 0, (uint64_t)q->nb_bufs * q->stride_bytes, 64,
				&q->pool);
	if (ret < 0) {
		tfe_netq_fini(q);
		return ret;
	}
	/* The lowest number comes out first. */
	while (q->nb_free_bufs < q->nb_bufs) {
		q->free_bufs[q->nb_free_bufs] = q->nb_bufs - 1 - q->nb_free_bufs;
		q->nb_free_bufs++;
	}
	return 0;
}

void
tfe_netq_fini(struct tfe_netq *q)
{
	free(q->packet);
	free(q->free_bufs);
	q->packet = NULL;
	q->free_bufs = NULL;
}

static uint8_t *
buf_va(const struct tfe_netq *q, uint32_t buf)
{
	return (uint8_t *)q->pool.va + (uint64_t)buf * q->stride_bytes;
}

/* The chain's elements for the first nb_bytes (header included) of a buffer. */
static uint16_t
make_segs(const struct tfe_netq *q, uint32_t buf, uint32_t nb_bytes, struct tfe_seg *segs)
{
	const uint64_t gpa = q->pool.gpa + (uint64_t)buf * q->stride_bytes;
	uint16_t n = 0;

	while (nb_bytes > 0 && n < q->nb_pieces) {
		const struct tfe_net_piece *piece = &q->pieces[n];
		uint32_t len_bytes = nb_bytes < piece->len_bytes ? nb_bytes : piece->len_bytes;

		segs[n++] = (struct tfe_seg){ .gpa = gpa + piece->offset, .len_bytes = len_bytes };
		nb_bytes -= len_bytes;
	}
	return n;
}

/* Copy bytes into the pieces of a buffer, from byte "start" of it on. */
static void
scatter(const struct tfe_netq *q, uint32_t buf, uint32_t start, const void *bytes,
		uint32_t nb_bytes)
{
	const uint8_t *src = bytes;

	for (uint32_t i = 0; i < q->nb_pieces && nb_bytes > 0; i++) {
		const struct tfe_net_piece *piece = &q->pieces[i];
		uint32_t n;

		if (start >= piece->len_bytes) {
			start -= piece->len_bytes;
			continue;
		}
		n = piece->len_bytes - start < nb_bytes ? piece->len_bytes - start : nb_bytes;
		memcpy(buf_va(q, buf) + piece->offset + start, src, n);
		src += n;
		nb_bytes -= n;
		start = 0;
	}
}

/* Copy the first nb_bytes of a buffer's pieces to one place. */
static void
gather(const struct tfe_netq *q, uint32_t buf, void *bytes, uint32_t nb_bytes)
{
	uint8_t *dst = bytes;

	for (uint32_t i = 0; i < q->nb_pieces && nb_bytes > 0; i++) {
		const struct tfe_net_piece *piece = &q->pieces[i];
		uint32_t n = nb_bytes < piece->len_bytes ? nb_bytes : piece->len_bytes;

		memcpy(dst, buf_va(q, buf) + piece->offset, n);
		dst += n;
		nb_bytes -= n;
	}
}

static bool
is_guard(const uint8_t *p, uint32_t nb_bytes)
{
	while (nb_bytes > 0 && p[nb_bytes - 1] == GUARD_VALUE)
		nb_bytes--;
	return nb_bytes == 0;
}

/* Whether the bytes after each piece are as they were. */
static bool
guards_intact(const struct tfe_netq *q, uint32_t buf)
{
	for (uint32_t i = 0; i < q->nb_pieces; i++) {
		const struct tfe_net_piece *piece = &q->pieces[i];

		if (!is_guard(buf_va(q, buf) + piece->offset + piece->len_bytes, GUARD_BYTES))
			return false;
	}
	return true;
}

static int
fail(struct tfe_netq *q, const char *error)
{
	q->error = error;
	return -EPROTO;
}

/* Add a chain over the first nb_bytes of the buffer on top of the stack. */
static int
add_chain(struct tfe_netq *q, uint32_t nb_bytes, bool writable)
{
	const uint32_t buf = q->free_bufs[q->nb_free_bufs - 1];
	struct tfe_seg segs[TFE_NET_SEGS];
	const uint16_t nb_segs = make_segs(q, buf, nb_bytes, segs);
	const struct tfe_chain chain = {
		.segs = segs,
		.nb_out = writable ? 0 : nb_segs,
		.nb_in = writable ? nb_segs : 0,
		.indirect = q->layout.indirect,
		.cookie = &q->free_bufs[buf],
	};
	int ret;

	ret = tfe_ring_add(q->ring, &chain);
	if (ret >= 0)
		q->nb_free_bufs--;
	return ret < 0 ? ret : 0;
}

/* The number of the buffer a used chain was made of. */
static uint32_t
buf_of(const struct tfe_netq *q, const struct tfe_used *used)
{
	return (uint32_t)((uint32_t *)used->cookie - q->free_bufs);
}

static int
take_used(struct tfe_netq *q, struct tfe_used *used)
{
	int ret;

	ret = tfe_ring_get_used(q->ring, used);
	if (ret < 0)
		q->error = q->ring->error;
	if (ret > 0)
		q->free_bufs[q->nb_free_bufs++] = buf_of(q, used);
	return ret;
}

/* Take back what was sent. */
static int
reclaim(struct tfe_netq *q)
{
	struct tfe_used used;
	int ret;

	do {
		ret = take_used(q, &used);
		if (ret > 0 && !guards_intact(q, buf_of(q, &used)))
			ret = fail(q, "the device wrote into a transmit buffer");
	} while (ret > 0);
	return ret;
}

int
tfe_netq_flush(struct tfe_netq *q)
{
	tfe_ring_publish(q->ring);
	return tfe_ring_notify(q->ring);
}

static uint32_t
room_bytes(const struct tfe_netq *q)
{
	uint32_t bytes = 0;

	for (uint32_t i = 0; i < q->nb_pieces; i++)
		bytes += q->pieces[i].len_bytes;
	return bytes;
}

int
tfe_netq_send(struct tfe_netq *q, const struct virtio_net_hdr_v1 *hdr, const void *frame,
		uint32_t len_bytes)
{
	static const struct virtio_net_hdr_v1 no_hdr;
	const uint32_t hdr_bytes = q->dev->hdr_bytes;
	uint32_t buf;
	int ret;

	if (len_bytes > room_bytes(q) - hdr_bytes)
		return -EMSGSIZE;
	ret = reclaim(q);
	if (ret < 0)
		return ret;
	if (q->nb_free_bufs == 0)
		return -ENOSPC;
	buf = q->free_bufs[q->nb_free_bufs - 1];
	memset(buf_va(q, buf), GUARD_VALUE, q->stride_bytes);
	scatter(q, buf, 0, hdr != NULL ? hdr : &no_hdr, hdr_bytes);
	scatter(q, buf, hdr_bytes, frame, len_bytes);
	ret = add_chain(q, hdr_bytes + len_bytes, false);
	if (ret < 0 || q->hold)
		return ret;
	return tfe_netq_flush(q);
}

int
tfe_netq_wait_sent(struct tfe_netq *q, int timeout_ms)
{
	uint64_t deadline_ns = tfe_deadline_ns(timeout_ms);
	int ret;

	for (;;) {
		ret = reclaim(q);
		if (ret < 0 || q->ring->nb_outstanding == 0)
			return ret;
		ret = tfe_ring_wait_used(q->ring, tfe_left_ms(deadline_ns));
		if (ret <= 0)
			return ret < 0 ? ret : -ETIMEDOUT;
	}
}

int
tfe_netq_post(struct tfe_netq *q, unsigned int nb)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < nb && q->nb_free_bufs > 0; i++) {
		uint8_t *va = buf_va(q, q->free_bufs[q->nb_free_bufs - 1]);

		memset(va, GUARD_VALUE, q->stride_bytes);
		ret = add_chain(q, room_bytes(q), true);
		if (ret < 0)
			break;
	}
	if (ret < 0 && ret != -ENOSPC)
		return ret;
	if (!q->hold) {
		ret = tfe_netq_flush(q);
		if (ret < 0)
			return ret;
	}
	return (int)i;
}

/* Append one used chain to the packet gathered so far. */
static int
append_chain(struct tfe_netq *q, uint32_t *nb_bytes)
{
	struct tfe_used used;
	int ret;

	ret = take_used(q, &used);
	if (ret <= 0)
		return ret;
	if (!guards_intact(q, buf_of(q, &used)))
		return fail(q, "the device wrote beyond a buffer");
	if (used.len_bytes > TFE_NET_PACKET_BYTES - *nb_bytes)
		return fail(q, "the packet is too long");
	gather(q, buf_of(q, &used), q->packet + *nb_bytes, used.len_bytes);
	*nb_bytes += used.len_bytes;
	return 1;
}

/* The header as received, and how many chains it claims. */
static int
parse_hdr(struct tfe_netq *q, uint32_t nb_bytes, struct tfe_pkt *pkt)
{
	const uint32_t hdr_bytes = q->dev->hdr_bytes;

	if (nb_bytes < hdr_bytes)
		return fail(q, "the first buffer is shorter than the header");
	pkt->hdr.num_buffers = 1;
	memcpy(&pkt->hdr, q->packet, hdr_bytes);
	if (!tfe_dev_has(q->dev, VIRTIO_NET_F_MRG_RXBUF) && q->ignore_num_buffers)
		pkt->hdr.num_buffers = 1;
	if (pkt->hdr.num_buffers == 0)
		return fail(q, "num_buffers is 0");
	/* VIRTIO 5.1.6.4.1: 1 unless MRG_RXBUF was negotiated. */
	if (!tfe_dev_has(q->dev, VIRTIO_NET_F_MRG_RXBUF) && pkt->hdr.num_buffers != 1)
		return fail(q, "num_buffers is not 1 without MRG_RXBUF");
	return 0;
}

int
tfe_netq_recv(struct tfe_netq *q, struct tfe_pkt *pkt, int timeout_ms)
{
	uint32_t nb_bytes = 0;
	int ret;

	ret = tfe_ring_wait_used(q->ring, timeout_ms);
	if (ret <= 0)
		return ret;
	ret = append_chain(q, &nb_bytes);
	if (ret < 0)
		return ret;
	ret = parse_hdr(q, nb_bytes, pkt);
	for (pkt->nb_chains = 1; ret == 0 && pkt->nb_chains < pkt->hdr.num_buffers;
			pkt->nb_chains++) {
		ret = append_chain(q, &nb_bytes);
		if (ret == 0)
			return fail(q, "fewer buffers than num_buffers");
		if (ret > 0)
			ret = 0;
	}
	if (ret < 0)
		return ret;
	pkt->frame = q->packet + q->dev->hdr_bytes;
	pkt->len_bytes = nb_bytes - q->dev->hdr_bytes;
	return 1;
}
