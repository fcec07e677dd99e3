/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_session_priv.h"

#include <errno.h>
#include <fcntl.h>

int
session_postcopy_advise(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct session_postcopy *postcopy = &session->postcopy;
	int fd, ret;

	/* QEMU sends it once per queue pair: all have the same one. */
	if (postcopy->faults == NULL) {
		ret = session->ops.open_faults(session->opaque, &postcopy->faults);
		if (ret < 0)
			return ret;
	}
	fd = fcntl(vhost_pci_faults_fd(postcopy->faults), F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* "the back-end must open a userfaultfd for later use", which is all of the reply. */
	vhost_pci_codec_make_reply(reply, msg->hdr.request, 0);
	reply->fds[0] = fd;
	reply->nb_fds = 1;
	return 1;
}

int
session_postcopy_listen(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	struct session_postcopy *postcopy = &session->postcopy;

	(void)msg;
	(void)reply;
	/* "This is always sent sometime after a VHOST_USER_POSTCOPY_ADVISE" */
	if (postcopy->faults == NULL)
		return -EINVAL;
	/* Of memory that is mapped already the front-end does not know the bases. */
	if (!postcopy->listening && session->mem != NULL && session->mem->nb_regions > 0)
		return -EBUSY;
	postcopy->listening = true;
	return 0;
}

int
session_postcopy_end(struct vhost_pci_session *session, struct vhost_pci_msg *msg,
		struct vhost_pci_msg *reply)
{
	(void)msg;
	(void)reply;
	/* "The back-end must disable the userfaultfd", once for all queue pairs. */
	session_postcopy_reset(session);
	return 0;
}

bool
session_postcopy_is_ack(const struct vhost_pci_session *session, const struct vhost_pci_msg *msg)
{
	if (msg->hdr.size != sizeof(msg->payload.u64))
		return false;
	/* An empty table looks the same. */
	return msg->hdr.request != VHOST_USER_SET_MEM_TABLE || session->postcopy.pending != NULL;
}

int
session_postcopy_ack(struct vhost_pci_session *session, const struct vhost_pci_msg *msg)
{
	struct vhost_pci_mem *mem = session->postcopy.pending;

	if (!session->postcopy.listening)
		return -EMSGSIZE;
	session->postcopy.pending = NULL;
	if (msg->payload.u64 != 0) {
		vhost_pci_mem_put(mem);
		return -EINVAL;
	}
	/* QEMU acknowledges also where it had nothing to add. */
	if (mem != NULL)
		session_publish_mem(session, mem);
	return 0;
}

struct vhost_pci_mem *
session_postcopy_latest(const struct vhost_pci_session *session)
{
	return session->postcopy.pending != NULL ? session->postcopy.pending : session->mem;
}

void
session_postcopy_keep(struct vhost_pci_session *session, struct vhost_pci_mem *mem)
{
	vhost_pci_mem_put(session->postcopy.pending);
	session->postcopy.pending = mem;
}

void
session_postcopy_reset(struct vhost_pci_session *session)
{
	vhost_pci_faults_close(session->postcopy.faults);
	vhost_pci_mem_put(session->postcopy.pending);
	session->postcopy = (struct session_postcopy){ .faults = NULL };
}
