/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vhost_pci_log.h"

/** Memory that can be cut short is refused, or warned of. */
static int
check_seal(struct vhost_pci_session *session, const struct vhost_pci_mapping *mapping)
{
	if (!mapping->may_shrink)
		return 0;
	if (session->require_seals)
		return -EPERM;
	if (!session->warned_of_shrink)
		vhost_pci_log(VHOST_PCI_LOG_WARNING,
				"%s: the front-end can cut its memory short (no F_SEAL_SHRINK): "
				"if it does so it loses its connection, and what is under way "
				"then may be read as zeros",
				session->name);
	session->warned_of_shrink = true;
	return 0;
}

int
session_accept_mapping(struct vhost_pci_session *session, struct vhost_pci_mapping *mapping)
{
	int ret = check_seal(session, mapping);

	if (ret < 0) {
		vhost_pci_mapping_put(mapping);
		return ret;
	}
	vhost_pci_guard_set_wake(mapping->guard, session->wake_fd);
	return 0;
}

static bool
is_hit(const struct vhost_pci_mapping *mapping)
{
	return mapping != NULL && vhost_pci_guard_is_hit(mapping->guard);
}

bool
session_mem_is_lost(const struct vhost_pci_session *session)
{
	const struct vhost_pci_mem *mem = session->mem;
	uint32_t i;

	for (i = 0; mem != NULL && i < mem->nb_regions; i++)
		if (is_hit(mem->region[i].mapping))
			return true;
	return is_hit(session->log.mapping) || is_hit(session->inflight.mapping);
}

/** Map a region's part of its file, as the transport does it and as it is done at this time. */
static int
map_file(struct vhost_pci_session *session, const struct vhost_user_mem_region *wire, int fd,
		struct vhost_pci_mapping **mapping)
{
	const struct vhost_pci_map_request request = {
		.fd = fd,
		.mmap_offset = wire->mmap_offset,
		.size = wire->size,
		.faults = session->postcopy.faults,
	};

	if (session->postcopy.listening)
		return session->ops.map_faulting(session->opaque, &request, mapping);
	return session->ops.map_region(session->opaque, fd, wire->mmap_offset, wire->size, mapping);
}

/**
 * A region as it was sent, but for its user address where the front-end has none: rings and IOTLB
 * entries are then at guest addresses (VHOST_USER_PROTOCOL_F_GPA_ADDRESSES), which stand for them.
 */
static struct vhost_user_mem_region
sent_region(const struct vhost_pci_session *session, const struct vhost_user_mem_region *wire)
{
	struct vhost_user_mem_region region = *wire;

	if (session_has_protocol(session, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES))
		region.uva = region.gpa;
	return region;
}

/**
 * Map what a region describes.
 *
 * @param[out] region Its mapping is the caller's reference.
 */
static int
map_region(struct vhost_pci_session *session, const struct vhost_user_mem_region *wire, int fd,
		struct vhost_pci_mem_region *region)
{
	int ret;

	/* Before anything is mapped; the table looks at the rest. */
	if (wire->size == 0 || wire->size > UINT64_MAX - wire->mmap_offset)
		return -EINVAL;
	*region = (struct vhost_pci_mem_region){
		.gpa = wire->gpa,
		.uva = wire->uva,
		.size = wire->size,
		.mmap_offset = wire->mmap_offset,
	};
	ret = map_file(session, wire, fd, &region->mapping);
	if (ret == 0)
		ret = session_accept_mapping(session, region->mapping);
	if (ret < 0)
		return ret;
	region->va = region->mapping->va;
	return 0;
}

void
session_publish_mem(struct vhost_pci_session *session, struct vhost_pci_mem *mem)
{
	struct vhost_pci_mem *old = session->mem;

	session->mem = mem;
	session_iotlb_follow_mem(session);
	/* The old one goes when the last vring has moved over. */
	session_remap_rings(session);
	vhost_pci_mem_put(old);
}

/** Build a table and put it in force, if the front-end knows the bases of all that is in it. */
static int
replace_mem(struct vhost_pci_session *session, const struct vhost_pci_mem_region *regions,
		unsigned int nb_regions, bool bases_known)
{
	struct vhost_pci_mem *mem;
	int ret;

	ret = vhost_pci_mem_create(regions, nb_regions, &mem);
	if (ret < 0)
		return ret;
	if (bases_known)
		session_publish_mem(session, mem);
	else
		session_postcopy_keep(session, mem);
	return 0;
}

/** "this message replies with the bases of the memory mapped regions", all else as it was sent. */
static int
reply_bases(const struct vhost_pci_msg *msg, const struct vhost_pci_mem_region *regions,
		unsigned int nb_regions, struct vhost_pci_msg *reply)
{
	struct vhost_user_mem_table *table = &reply->payload.mem_table;
	unsigned int i;

	vhost_pci_codec_make_reply(reply, msg->hdr.request, msg->hdr.size);
	memcpy(reply->payload.bytes, msg->payload.bytes, msg->hdr.size);
	for (i = 0; i < nb_regions; i++)
		table->region[i].uva = (uintptr_t)regions[i].va;
	return 1;
}

/** As reply_bases(), for one region. */
static int
reply_base(const struct vhost_pci_msg *msg, const struct vhost_pci_mem_region *region,
		struct vhost_pci_msg *reply)
{
	vhost_pci_codec_make_reply(reply, msg->hdr.request, msg->hdr.size);
	reply->payload.single_region = msg->payload.single_region;
	reply->payload.single_region.region.uva = (uintptr_t)region->va;
	return 1;
}

int
session_set_mem_table(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct vhost_user_mem_table *table = &msg->payload.mem_table;
	struct vhost_pci_mem_region regions[VHOST_USER_MEM_TABLE_REGIONS];
	bool listening = session->postcopy.listening;
	unsigned int nb_mapped = 0;
	int ret = 0;

	if (session_postcopy_is_ack(session, msg))
		return session_postcopy_ack(session, msg);
	while (ret == 0 && nb_mapped < table->nb_regions) {
		const struct vhost_user_mem_region sent = sent_region(session,
				&table->region[nb_mapped]);

		ret = map_region(session, &sent, msg->fds[nb_mapped], &regions[nb_mapped]);
		if (ret == 0)
			nb_mapped++;
	}
	if (ret == 0)
		ret = replace_mem(session, regions, nb_mapped, !listening);
	if (ret == 0 && listening)
		ret = reply_bases(msg, regions, nb_mapped, reply);
	/* The table has references of its own. */
	while (nb_mapped > 0)
		vhost_pci_mapping_put(regions[--nb_mapped].mapping);
	return ret;
}

int
session_get_max_mem_slots(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	(void)session;
	return session_reply_u64(reply, msg, VHOST_PCI_MEM_MAX_REGIONS);
}

/** A copy of the latest regions, with room for one more; NULL where memory is short. */
static struct vhost_pci_mem_region *
copy_regions(const struct vhost_pci_session *session, unsigned int *nb_regions)
{
	const struct vhost_pci_mem *mem = session_postcopy_latest(session);
	struct vhost_pci_mem_region *regions;

	*nb_regions = mem != NULL ? mem->nb_regions : 0;
	regions = calloc(*nb_regions + 1u, sizeof(*regions));
	if (regions != NULL && *nb_regions > 0)
		memcpy(regions, mem->region, *nb_regions * sizeof(*regions));
	return regions;
}

/** "identified by its guest address, user address and size. The mmap offset is ignored." */
static bool
is_region(const struct vhost_pci_mem_region *region, const struct vhost_user_mem_region *wire)
{
	return region->gpa == wire->gpa && region->uva == wire->uva && region->size == wire->size;
}

/** Find a region in the latest table; NULL where there is none. */
static struct vhost_pci_mem_region *
find_region(const struct vhost_pci_session *session, const struct vhost_user_mem_region *wire)
{
	struct vhost_pci_mem *mem = session_postcopy_latest(session);
	unsigned int i;

	for (i = 0; mem != NULL && i < mem->nb_regions; i++)
		if (is_region(&mem->region[i], wire))
			return &mem->region[i];
	return NULL;
}

int
session_add_mem_reg(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	bool listening = session->postcopy.listening;
	struct vhost_pci_mem_region *regions, *same;
	struct vhost_user_mem_region sent;
	unsigned int nb_regions;
	int ret;

	if (session_postcopy_is_ack(session, msg))
		return session_postcopy_ack(session, msg);
	sent = sent_region(session, &msg->payload.single_region.region);
	/* QEMU 7.2 adds and removes each region once per queue pair. */
	same = find_region(session, &sent);
	if (same != NULL && same->mmap_offset == sent.mmap_offset && same->nb_more < UINT32_MAX) {
		same->nb_more++;
		return listening ? reply_base(msg, same, reply) : 0;
	}
	regions = copy_regions(session, &nb_regions);
	if (regions == NULL)
		return -ENOMEM;
	ret = map_region(session, &sent, msg->fds[0], &regions[nb_regions]);
	if (ret == 0) {
		ret = replace_mem(session, regions, nb_regions + 1, !listening);
		if (ret == 0 && listening)
			ret = reply_base(msg, &regions[nb_regions], reply);
		vhost_pci_mapping_put(regions[nb_regions].mapping);
	}
	free(regions);
	return ret;
}

int
session_rem_mem_reg(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_mem_region *regions, *same;
	struct vhost_user_mem_region sent;
	unsigned int nb_regions, i;
	int ret = -ENOENT;

	(void)reply;
	if (session_postcopy_is_ack(session, msg))
		return session_postcopy_ack(session, msg);
	sent = sent_region(session, &msg->payload.single_region.region);
	same = find_region(session, &sent);
	if (same != NULL && same->nb_more > 0) {
		same->nb_more--;
		return 0;
	}
	regions = copy_regions(session, &nb_regions);
	if (regions == NULL)
		return -ENOMEM;
	for (i = 0; i < nb_regions; i++) {
		if (!is_region(&regions[i], &sent))
			continue;
		regions[i] = regions[nb_regions - 1];
		ret = replace_mem(session, regions, nb_regions - 1,
				session->postcopy.pending == NULL);
		break;
	}
	free(regions);
	return ret;
}
