/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>

#include "vhost_pci_dirty.h"
#include "vhost_pci_notify_fd.h"
#include "vhost_pci_peer_fd.h"

void
session_log_bind(const struct vhost_pci_session *session, struct vhost_pci_vring *vr)
{
	const struct session_log *log = &session->log;
	bool on = session_has_feature(session, VHOST_F_LOG_ALL) && log->mapping != NULL &&
			vr->mem != NULL;

	vr->dirty = (struct vhost_pci_dirty){
		.log = on ? log->mapping->va : NULL,
		.nb_pages = log->nb_pages,
		.used_gpa = vr->log_gpa,
		.log_used = (vr->addr_flags & 1u << VHOST_VRING_F_LOG) != 0,
		.notifier = log->notifier,
		.changed = vr->dirty.changed,
	};
}

void
session_log_update(struct vhost_pci_session *session)
{
	unsigned int i;

	for (i = 0; i < session->nb_vrings; i++) {
		session_ring_pause(session, &session->vrings[i]);
		session_ring_resume(session, &session->vrings[i]);
	}
}

int
session_log_check_addr(const struct vhost_pci_session *session, const struct vhost_vring_addr *addr)
{
	uint32_t num = session->rings[addr->index].num;
	uint64_t bytes = vhost_pci_dirty_used_bytes(session_has_feature(session,
								    VIRTIO_F_RING_PACKED),
			num);
	uint64_t last;

	/* Behind an IOTLB it is an iova, of the ring itself. */
	if ((addr->flags & 1u << VHOST_VRING_F_LOG) == 0 || session_iotlb(session) != NULL)
		return 0;
	if (addr->log_guest_addr > UINT64_MAX - bytes)
		return -EINVAL;
	/* "Migration": it need not be in the memory table, but "the bit offset of the last byte of
	 * the ring must fall within the size supplied"; where the log comes later, or another one,
	 * each write is checked.
	 */
	last = addr->log_guest_addr + bytes - 1;
	if (session->log.mapping != NULL &&
			last >> VHOST_PCI_DIRTY_PAGE_SHIFT >= session->log.nb_pages)
		return -EINVAL;
	return 0;
}

int
session_set_log_base(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	const struct vhost_user_log *log = &msg->payload.log;
	struct vhost_pci_mapping *old = session->log.mapping;
	vhost_pci_session_map_t *map = session->ops.map_log != NULL ? session->ops.map_log
								    : session->ops.map_region;
	struct vhost_pci_mapping *mapping;
	int ret;

	(void)reply;
	/* An address of the front-end's own is of no use: LOG_SHMFD was negotiated. */
	if (msg->hdr.size != sizeof(*log))
		return -EPROTO;
	if (log->size == 0 || log->size > UINT64_MAX / 8 ||
			log->size > UINT64_MAX - log->mmap_offset)
		return -EINVAL;
	/* The offset is applied here, once: va is where guest address 0 is logged. */
	ret = map(session->opaque, msg->fds[0], log->mmap_offset, log->size, &mapping);
	if (ret == 0)
		ret = session_accept_mapping(session, mapping);
	if (ret < 0)
		return ret;
	session->log.mapping = mapping;
	session->log.nb_pages = 8 * log->size;
	session_log_update(session);
	/* Every vring has been paused since: none writes to the old log any more. */
	vhost_pci_mapping_put(old);
	return 0;
}

static void
close_notifier(struct vhost_pci_notifier *notifier, int reader)
{
	vhost_pci_peer_fd_close(notifier->fd);
	vhost_pci_peer_fd_close(reader);
}

/** Replace what is signalled; the old one goes when no vring uses it any more. */
static void
replace_notifier(struct vhost_pci_session *session, const struct vhost_pci_notifier *notifier,
		int reader)
{
	struct session_log old = session->log;

	session->log.notifier = *notifier;
	session->log.reader = reader;
	session_log_update(session);
	close_notifier(&old.notifier, old.reader);
}

int
session_set_log_fd(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct vhost_pci_notifier notifier = { .fd = -1 };
	int fd = msg->fds[0];
	int reader = -1;
	int ret = 0;

	(void)reply;
	if (fd >= 0) {
		ret = vhost_pci_notify_fd_prepare(fd);
		if (ret == 0)
			ret = vhost_pci_notify_fd_hold(fd, &reader, &notifier.way);
		if (ret == 0 && notifier.way == VHOST_PCI_NOTIFY_SEND)
			ret = -EINVAL;
		if (ret < 0)
			return ret;
		notifier.fd = vhost_pci_msg_take_fd(msg, 0);
	} else if (session->ops.find_doorbell != NULL) {
		/* An adapter's device keeps the fd, and is told by a register. */
		notifier.doorbell = session->ops.find_doorbell(session->opaque,
				VHOST_USER_SET_LOG_FD, 0);
	}
	replace_notifier(session, &notifier, reader);
	return 0;
}

void
session_log_reset(struct vhost_pci_session *session)
{
	close_notifier(&session->log.notifier, session->log.reader);
	vhost_pci_mapping_put(session->log.mapping);
	session->log = (struct session_log){ .notifier = { .fd = -1 }, .reader = -1 };
}
