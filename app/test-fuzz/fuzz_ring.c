/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/*
 * A virtqueue of the format in FUZZ_RING_KIND, in memory that the input fills and changes between
 * bursts, and that a second thread changes during them.
 */

#include <pthread.h>
#include <unistd.h>

#include "fuzz.h"
#include "vhost_pci_ring.h"

/** The guest's memory: two regions that follow each other in gpa, but not here. */
#define REGION_BYTES 0x4000u
#define NB_REGIONS   2u
#define GPA          UINT64_C(0x10000)
#define UVA          UINT64_C(0x7f0000000000)

/** Where the ring is in region 0. */
#define DESC  0x0u
#define AVAIL 0x1000u
#define USED  0x2000u

/** Chains of one burst. */
#define BURST 32

/** Bursts of one input, at most: each input byte may ask for one. */
#define MAX_BURSTS 64

/** What one input works with. */
struct world {
	uint8_t *bytes[NB_REGIONS];
	struct vhost_pci_mapping mapping[NB_REGIONS];
	struct vhost_pci_mem *mem;
	struct vhost_pci_vring *vr;
	enum vhost_pci_dir dir;
	uint32_t seed; /**< Of the second thread. */
	uint32_t stop; /**< Atomic. */
};

static void
no_release(struct vhost_pci_mapping *mapping)
{
	(void)mapping;
}

static void
make_memory(struct world *world)
{
	struct vhost_pci_mem_region regions[NB_REGIONS];
	unsigned int i;

	for (i = 0; i < NB_REGIONS; i++) {
		/* On their own, so that a sanitizer sees what is beyond them. */
		world->bytes[i] = aligned_alloc(4096, REGION_BYTES);
		fuzz_check(world->bytes[i] != NULL);
		memset(world->bytes[i], 0, REGION_BYTES);
		world->mapping[i] = (struct vhost_pci_mapping){
			.refcnt = 1,
			.va = world->bytes[i],
			.size = REGION_BYTES,
			.release = no_release,
		};
		regions[i] = (struct vhost_pci_mem_region){
			.gpa = GPA + i * REGION_BYTES,
			.uva = UVA + i * REGION_BYTES,
			.size = REGION_BYTES,
			.va = world->bytes[i],
			.mapping = &world->mapping[i],
		};
	}
	fuzz_check(vhost_pci_mem_create(regions, NB_REGIONS, &world->mem) == 0);
}

static bool
make_ring(struct fuzz_input *input, struct world *world)
{
	const unsigned int kind = FUZZ_RING_KIND;
	uint8_t options = fuzz_u8(input);
	const struct vhost_pci_vring_format format = {
		.size = (uint16_t)(1u << (options & 7)),
		.is_packed = (kind & VHOST_PCI_RING_PACKED) != 0,
		.event_idx = (options & 8) != 0,
		.indirect = (options & 16) != 0,
		.hdr_len = 12,
	};

	world->dir = options & 32 ? VHOST_PCI_ENQUEUE : VHOST_PCI_DEQUEUE;
	world->vr = aligned_alloc(VHOST_PCI_CACHE_LINE, sizeof(*world->vr));
	fuzz_check(world->vr != NULL);
	vhost_pci_vring_init(world->vr, 1);
	world->vr->desc_uva = UVA + DESC;
	world->vr->avail_uva = UVA + AVAIL;
	world->vr->used_uva = UVA + USED;
	fuzz_check(vhost_pci_vring_map(world->vr, world->mem, &format) == 0);
	return vhost_pci_vring_set_base(world->vr,
			       format.is_packed ? 0x80008000u : fuzz_u16(input)) == 0;
}

/** Write a piece of the input to the guest's memory. */
static void
change(struct fuzz_input *input, const struct world *world)
{
	uint16_t place = fuzz_u16(input);
	uint16_t offset = place % REGION_BYTES;
	size_t nb = fuzz_u8(input);

	if (nb > REGION_BYTES - offset)
		nb = REGION_BYTES - offset;
	fuzz_take(input, &world->bytes[place / REGION_BYTES % NB_REGIONS][offset], nb);
}

/** Flip bytes of the ring and of the tables behind it while bursts go on. */
static void *
flip(void *arg)
{
	struct world *world = arg;
	uint32_t random = world->seed | 1;

	while (vhost_pci_load_relaxed(&world->stop) == 0) {
		uint8_t *byte;

		random = random * 1664525u + 1013904223u;
		byte = &world->bytes[random >> 31][(random >> 8) % (USED + 0x400)];
		vhost_pci_store_relaxed(byte, (uint8_t)(random >> 24));
	}
	return NULL;
}

/** Touch all of a chain: what a sanitizer does not like ends the run. */
static uint32_t
touch(const struct world *world, const struct vhost_pci_chain *chain)
{
	uint32_t sum = 0;
	uint32_t i, at;

	for (i = 0; i < chain->nb_segs; i++) {
		const struct vhost_pci_seg *seg = &world->vr->segs[chain->seg_idx + i];

		fuzz_check(seg->len > 0 && seg->len <= REGION_BYTES);
		for (at = 0; at<seg->len; at += seg->len> 64 ? seg->len - 1 : 1) {
			if (world->dir == VHOST_PCI_ENQUEUE)
				vhost_pci_store_relaxed(&seg->va[at], (uint8_t)at);
			else
				(void)vhost_pci_load_relaxed(&seg->va[at]);
		}
		sum += seg->len;
	}
	fuzz_check(sum == chain->len);
	return sum;
}

static void
burst(struct world *world)
{
	struct vhost_pci_chain chains[BURST];
	unsigned int nb = 0, i;

	vhost_pci_ring_begin(world->vr);
	(void)vhost_pci_ring_nb_avail(world->vr, world->vr->size);
	while (nb < BURST &&
			vhost_pci_ring_next(world->vr, &chains[nb], FUZZ_RING_KIND, world->dir) ==
					1) {
		touch(world, &chains[nb]);
		nb++;
	}
	for (i = 0; i < nb; i++)
		vhost_pci_ring_put(world->vr, &chains[i], 0, FUZZ_RING_KIND);
	vhost_pci_ring_end(world->vr, FUZZ_RING_KIND);
	(void)vhost_pci_ring_call_wanted(world->vr, FUZZ_RING_KIND);
	(void)vhost_pci_ring_look(world->vr, world->vr->size);
}

static void
run(struct fuzz_input *input, struct world *world, bool is_raced)
{
	unsigned int nb_bursts = 0;
	pthread_t thread;

	change(input, world);
	change(input, world);
	change(input, world);
	if (is_raced)
		fuzz_check(pthread_create(&thread, NULL, flip, world) == 0);
	do {
		change(input, world);
		burst(world);
		vhost_pci_ring_ask_kick(world->vr, (nb_bursts & 1) != 0);
	} while (++nb_bursts < MAX_BURSTS &&
			(input->nb_left > 0 || (is_raced && nb_bursts < MAX_BURSTS / 2)) &&
			world->vr->error == VHOST_PCI_VRING_OK);
	if (is_raced) {
		vhost_pci_store_relaxed(&world->stop, 1);
		pthread_join(thread, NULL);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nb_bytes)
{
	struct fuzz_input input = { bytes, nb_bytes };
	struct world world = { 0 };
	uint8_t race = fuzz_u8(&input);
	unsigned int i;

	make_memory(&world);
	world.seed = race * 2654435761u;
	if (make_ring(&input, &world))
		/* A thread costs more than all else. */
		run(&input, &world, race % 8 == 1);
	vhost_pci_vring_fini(world.vr);
	free(world.vr);
	vhost_pci_mem_put(world.mem);
	for (i = 0; i < NB_REGIONS; i++)
		free(world.bytes[i]);
	return 0;
}
