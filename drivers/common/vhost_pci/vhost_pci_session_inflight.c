/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <sys/mman.h>

#include "vhost_pci_inflight.h"

/** A file of zeroes for the areas, which nobody can shorten. Returns an fd or -errno. */
static int
create_file(uint64_t bytes)
{
	int fd = memfd_create("vhost-pci-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) == 0 &&
			fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

/** Bytes of all areas of the ring format in force; 0 for numbers that no session has. */
static uint64_t
areas_bytes(const struct vhost_pci_session *session, uint16_t nb_queues, uint16_t queue_size)
{
	bool is_packed = session_has_feature(session, VIRTIO_F_RING_PACKED);

	if (nb_queues == 0 || nb_queues > session->nb_vrings || queue_size == 0 ||
			queue_size > session->max_queue_size ||
			(!is_packed && (queue_size & (queue_size - 1)) != 0))
		return 0;
	return nb_queues * vhost_pci_inflight_bytes(is_packed, queue_size);
}

int
session_get_inflight_fd(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct vhost_user_inflight *asked = &msg->payload.inflight;
	uint64_t bytes = areas_bytes(session, asked->nb_queues, asked->queue_size);
	int fd;

	if (bytes == 0)
		return -EINVAL;
	fd = create_file(bytes);
	if (fd < 0)
		return fd;
	/* As long as the request: with QEMU's padding or without. */
	vhost_pci_codec_make_reply(reply, msg->hdr.request, msg->hdr.size);
	reply->payload.inflight = (struct vhost_user_inflight){
		.mmap_size = bytes,
		.nb_queues = asked->nb_queues,
		.queue_size = asked->queue_size,
	};
	/* Nothing is kept of it: it comes back with SET_INFLIGHT_FD. */
	reply->fds[0] = fd;
	reply->nb_fds = 1;
	return 1;
}

static bool
any_loaded(const struct vhost_pci_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++)
		if (session->rings[i].loaded)
			return true;
	return false;
}

int
session_set_inflight_fd(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct vhost_user_inflight *sent = &msg->payload.inflight;
	uint64_t bytes = areas_bytes(session, sent->nb_queues, sent->queue_size);
	struct vhost_pci_mapping *mapping;
	int ret;

	(void)reply;
	if (bytes == 0 || sent->mmap_size < bytes ||
			sent->mmap_size > UINT64_MAX - sent->mmap_offset)
		return -EINVAL;
	/* Rings are tracked from their start to their end, in one area. */
	if (any_loaded(session))
		return -EBUSY;
	ret = session->ops.map_region(session->opaque, msg->fds[0], sent->mmap_offset,
			sent->mmap_size, &mapping);
	if (ret == 0)
		ret = session_accept_mapping(session, mapping);
	if (ret < 0)
		return ret;
	session_inflight_reset(session);
	session->inflight = (struct session_inflight){
		.mapping = mapping,
		.nb_queues = sent->nb_queues,
		.queue_size = sent->queue_size,
	};
	return 0;
}

int
session_inflight_open(struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	const struct session_inflight *inflight = &session->inflight;
	uint64_t bytes = vhost_pci_inflight_bytes(vr->is_packed, inflight->queue_size);

	if (inflight->mapping == NULL || vr->index >= inflight->nb_queues)
		return 0;
	/* The format may have changed since the areas came. */
	if (bytes * inflight->nb_queues > inflight->mapping->size)
		return -EINVAL;
	return vhost_pci_inflight_open(vr, inflight->mapping->va + vr->index * bytes,
			inflight->queue_size);
}

void
session_inflight_reset(struct vhost_pci_session *session)
{
	vhost_pci_mapping_put(session->inflight.mapping);
	session->inflight = (struct session_inflight){ .mapping = NULL };
}
