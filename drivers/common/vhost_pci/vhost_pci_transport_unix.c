/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_transport_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "vhost_pci_notify_fd.h"
#include "vhost_pci_peer_fd.h"

/** Connections that may wait for an accept. */
#define LISTEN_BACKLOG 128

/**
 * Fds that the kernel passes on with one piece of a stream: all of them are taken, for those that
 * it drops itself it closes as it likes (SCM_MAX_FD, which no header has).
 */
#define PIECE_MAX_FDS 253

/** What comes first, and takes no fd's place: sender and label, if a peer has asked for them. */
#define PIECE_MORE_BYTES (4096 + 256)

/** SCM_PIDFD: the sender as an fd; in no header of older systems. */
#define PIECE_PIDFD 0x04

/** Pieces that a closed socket may have left, and more: a socket's buffer holds fewer. */
#define MAX_PIECES_LEFT 4096

/** How far sockets are followed that are in the queues of sockets. */
#define MAX_SOCKETS_DEEP 4

/** A header of either version: which of them it is, is in what they have in common. */
union unix_hdr {
	struct vhost_user_hdr v1;
	struct vhost_user_hdr_v2 v2;
};

/** A transport and the message that is on its way in. */
struct unix_transport {
	struct vhost_pci_transport base;
	enum vhost_pci_msg_kind recv_kind;
	bool dialect;             /**< Headers of version 2 are taken. */
	bool reply_dialect;       /**< The request received last had one. */
	uint64_t conn_id;         /**< That they name. */
	int error;                /**< What broke the stream; 0: nothing did. */
	size_t nb_received;       /**< Bytes of header and payload of msg that are here. */
	union unix_hdr hdr;       /**< The header so far, as it came. */
	struct vhost_pci_msg msg; /**< The message so far. */
};

/** A mapping and the whole pages around it. */
struct unix_mapping {
	struct vhost_pci_mapping base;
	void *pages;
	size_t pages_bytes;
	struct vhost_pci_faults_range *faulting; /**< NULL: its pages are all there. */
};

/** Room for the fds of a piece, aligned for the control header. */
union fds_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(PIECE_MAX_FDS * sizeof(int)) + PIECE_MORE_BYTES];
};

/* Sockets */

static int
make_address(const char *path, struct sockaddr_un *address)
{
	size_t length = strlen(path);

	if (length == 0)
		return -EINVAL;
	if (length >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, length);
	return 0;
}

static int
open_socket(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

/**
 * Whether a path is a socket file that no socket is bound to any more.
 *
 * It is probed by a socket of another type: the kernel refuses such a connection with EPROTOTYPE
 * where somebody is bound, who so does not see a connection come and go.
 */
static bool
is_stale(const struct sockaddr_un *address)
{
	struct stat status;
	bool stale;
	int fd;

	if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return false;
	fd = open_socket(SOCK_DGRAM);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
			errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int
bind_address(int fd, const struct sockaddr_un *address)
{
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (!is_stale(address))
		return -EADDRINUSE;
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
}

int
vhost_pci_unix_listen(const char *path)
{
	struct sockaddr_un address;
	int fd;
	int ret;

	ret = make_address(path, &address);
	if (ret < 0)
		return ret;
	fd = open_socket(SOCK_STREAM);
	if (fd < 0)
		return fd;
	ret = bind_address(fd, &address);
	if (ret < 0)
		goto err_close;
	if (listen(fd, LISTEN_BACKLOG) < 0) {
		ret = -errno;
		goto err_unlink;
	}
	return fd;

err_unlink:
	unlink(path);
err_close:
	close(fd);
	return ret;
}

int
vhost_pci_unix_accept(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		return fd;
	/* The peer is gone before it was accepted: as if it had never come. */
	return errno == ECONNABORTED || errno == EINTR ? -EAGAIN : -errno;
}

int
vhost_pci_unix_connect(const char *path)
{
	struct sockaddr_un address;
	int fd;
	int ret;

	ret = make_address(path, &address);
	if (ret < 0)
		return ret;
	fd = open_socket(SOCK_STREAM);
	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

/* Messages */

/** Bytes of the header, as far as is known. */
static size_t
header_bytes(const struct unix_transport *transport)
{
	bool is_v2 = transport->dialect && transport->nb_received >= sizeof(transport->hdr.v1) &&
			vhost_pci_codec_is_dialect(&transport->hdr.v1);

	return is_v2 ? sizeof(transport->hdr.v2) : sizeof(transport->hdr.v1);
}

/** The part of a message that is to be received next: the rest of the header, or of the payload. */
static struct iovec
next_part(struct unix_transport *transport)
{
	struct vhost_pci_msg *msg = &transport->msg;
	size_t hdr_bytes = header_bytes(transport);
	size_t payload_received;

	if (transport->nb_received < hdr_bytes)
		return (struct iovec){ (uint8_t *)&transport->hdr + transport->nb_received,
			hdr_bytes - transport->nb_received };
	payload_received = transport->nb_received - hdr_bytes;
	return (struct iovec){ msg->payload.bytes + payload_received,
		msg->hdr.size - payload_received };
}

/** Have what comes with MSG_OOB come with all else: the kernel drops it otherwise, and its fds. */
static void
take_out_of_band(int fd)
{
	const int on = 1;

	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

/** Take over the fds of a received piece; those that do not fit are closed. */
static int
receive_fds(struct vhost_pci_msg *msg, struct msghdr *message)
{
	struct cmsghdr *control;
	int ret = 0;

	for (control = CMSG_FIRSTHDR(message); control != NULL;
			control = CMSG_NXTHDR(message, control)) {
		const uint8_t *data = CMSG_DATA(control);
		size_t left = control->cmsg_len - CMSG_LEN(0);
		bool is_rights = control->cmsg_type == SCM_RIGHTS;
		int fd;

		if (control->cmsg_level != SOL_SOCKET ||
				(!is_rights && control->cmsg_type != PIECE_PIDFD))
			continue;
		for (; left >= sizeof(fd); data += sizeof(fd), left -= sizeof(fd)) {
			memcpy(&fd, data, sizeof(fd));
			if (!is_rights) {
				close(fd);
			} else if (msg->nb_fds < VHOST_PCI_MSG_MAX_FDS) {
				msg->fds[msg->nb_fds++] = fd;
			} else {
				vhost_pci_peer_fd_close(fd);
				ret = -E2BIG;
			}
		}
	}
	/* More fds than this process may have: the kernel has thrown some away. */
	return message->msg_flags & MSG_CTRUNC ? -EMFILE : ret;
}

/**
 * Receive once. No more is asked for than the message has left, so that the fds that come along
 * belong to it.
 *
 * @return The number of bytes, 0 where the peer has closed, -errno.
 */
static ssize_t
receive_some(struct unix_transport *transport)
{
	union fds_control control;
	struct iovec part = next_part(transport);
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t nb;
	int ret;

	do {
		nb = recvmsg(transport->base.event_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (nb < 0 && errno == EINTR);
	if (nb < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	ret = receive_fds(&transport->msg, &message);
	if (ret < 0)
		return ret;
	transport->nb_received += (size_t)nb;
	return nb;
}

/** Bytes that the message has, as far as is known. */
static size_t
wanted_bytes(const struct unix_transport *transport)
{
	size_t hdr_bytes = header_bytes(transport);

	return transport->nb_received < hdr_bytes ? hdr_bytes : hdr_bytes + transport->msg.hdr.size;
}

/** What the message is whose header is here. */
static enum vhost_pci_msg_kind
recv_kind(const struct unix_transport *transport)
{
	const struct vhost_user_hdr *hdr = &transport->msg.hdr;

	if (!transport->dialect || !vhost_pci_codec_is_dialect(hdr))
		return transport->recv_kind;
	return (hdr->flags & VHOST_USER_REPLY) != 0 ? VHOST_PCI_MSG_DIALECT_REPLY
						    : VHOST_PCI_MSG_DIALECT_REQUEST;
}

/** Take over a header that is whole, before as much is read as it says. */
static int
take_header(struct unix_transport *transport)
{
	const struct vhost_user_hdr_v2 *v2 = &transport->hdr.v2;
	struct vhost_pci_msg *msg = &transport->msg;

	msg->hdr = transport->hdr.v1;
	if (header_bytes(transport) == sizeof(*v2)) {
		msg->hdr.size = v2->size;
		msg->conn_id = transport->conn_id;
		if (v2->conn_id != transport->conn_id &&
				v2->conn_id != VHOST_USER_CONN_ID_ANONYMOUS)
			return -EBADMSG;
	}
	return vhost_pci_codec_check_header(&msg->hdr, recv_kind(transport));
}

/** Receive until the message is whole. Returns 1, 0 for a closed connection, or -errno. */
static int
receive_message(struct unix_transport *transport)
{
	int ret;

	while (transport->nb_received < wanted_bytes(transport)) {
		ssize_t nb = receive_some(transport);

		if (nb < 0)
			return (int)nb;
		if (nb == 0)
			return transport->nb_received == 0 ? 0 : -ECONNRESET;
		if (transport->nb_received == header_bytes(transport)) {
			ret = take_header(transport);
			if (ret < 0)
				return ret;
		}
	}
	ret = vhost_pci_codec_check(&transport->msg, recv_kind(transport));
	if (recv_kind(transport) == VHOST_PCI_MSG_DIALECT_REPLY) {
		/* Nobody waits for it: what the other side has to say it says by a request. */
		if (ret == 0)
			return -EAGAIN;
		return ret == -EOPNOTSUPP ? -EPROTOTYPE : ret;
	}
	/* An unknown id is the session's to refuse: it may owe an answer. */
	return ret < 0 && ret != -EOPNOTSUPP ? ret : 1;
}

static int
unix_recv(struct vhost_pci_transport *base, struct vhost_pci_msg *msg)
{
	struct unix_transport *transport = (struct unix_transport *)base;
	int ret;

	/* Nothing can be told from a stream that was left in the middle of a message. */
	if (transport->error != 0)
		return transport->error;
	ret = receive_message(transport);
	if (ret == -EAGAIN) {
		/* Whole, and dropped: the next one begins. */
		if (transport->nb_received == wanted_bytes(transport))
			transport->nb_received = 0;
		return ret;
	}
	if (ret <= 0) {
		transport->error = ret;
		vhost_pci_msg_close_fds(&transport->msg);
		return ret;
	}
	*msg = transport->msg;
	transport->reply_dialect = vhost_pci_codec_is_dialect(&msg->hdr);
	transport->msg.nb_fds = 0;
	transport->nb_received = 0;
	return 1;
}

/** Put the fds of a message into the control part of what is sent. */
static void
attach_fds(struct msghdr *message, union fds_control *control, const struct vhost_pci_msg *msg)
{
	size_t fds_bytes = msg->nb_fds * sizeof(msg->fds[0]);
	struct cmsghdr *header;

	memset(control, 0, sizeof(*control));
	message->msg_control = control->bytes;
	message->msg_controllen = CMSG_SPACE(fds_bytes);
	header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(fds_bytes);
	memcpy(CMSG_DATA(header), msg->fds, fds_bytes);
}

/** Make the header of what is sent: its bytes. */
static size_t
make_header(const struct unix_transport *transport, const struct vhost_pci_msg *msg,
		union unix_hdr *hdr)
{
	bool is_reply = (msg->hdr.flags & VHOST_USER_REPLY) != 0;

	if (!vhost_pci_codec_is_dialect(&msg->hdr) && !(is_reply && transport->reply_dialect)) {
		hdr->v1 = msg->hdr;
		return sizeof(hdr->v1);
	}
	hdr->v2 = (struct vhost_user_hdr_v2){
		.request = msg->hdr.request,
		.flags = (msg->hdr.flags & ~VHOST_USER_VERSION_MASK) | VHOST_USER_VERSION_2,
		.conn_id = transport->conn_id,
		.size = msg->hdr.size,
	};
	return sizeof(hdr->v2);
}

static int
unix_send(struct vhost_pci_transport *base, struct vhost_pci_msg *msg)
{
	union fds_control control;
	union unix_hdr hdr;
	struct iovec parts[2] = {
		{ &hdr, make_header((struct unix_transport *)base, msg, &hdr) },
		{ msg->payload.bytes, msg->hdr.size },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	size_t total = parts[0].iov_len + parts[1].iov_len;
	ssize_t nb;
	int ret;

	if (msg->nb_fds > 0)
		attach_fds(&message, &control, msg);
	do {
		nb = sendmsg(base->event_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (nb < 0 && errno == EINTR);
	if (nb < 0)
		ret = errno == EWOULDBLOCK ? -EAGAIN : -errno;
	else
		/* A part of a message can't be taken back, the rest not be sent: as above. */
		ret = (size_t)nb == total ? 0 : -EAGAIN;
	vhost_pci_msg_close_fds(msg);
	return ret;
}

ssize_t
vhost_pci_unix_recv_bytes(int fd, void *bytes, size_t nb_bytes)
{
	union fds_control control;
	struct iovec part = { bytes, nb_bytes };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	struct vhost_pci_msg msg;
	ssize_t nb;

	message.msg_control = control.bytes;
	message.msg_controllen = sizeof(control.bytes);
	take_out_of_band(fd);
	nb = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (nb < 0)
		return -errno;
	msg.nb_fds = 0;
	(void)receive_fds(&msg, &message);
	vhost_pci_msg_close_fds(&msg);
	return nb;
}

static void
unix_close(struct vhost_pci_transport *base)
{
	struct unix_transport *transport = (struct unix_transport *)base;

	vhost_pci_msg_close_fds(&transport->msg);
	vhost_pci_peer_fd_close(base->event_fd);
	free(transport);
}

/* Memory */

/** Size of the pages that a file is mapped in. */
static uint64_t
page_bytes(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0)
		return (uint64_t)fs.f_bsize;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool
may_shrink(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals < 0 || (seals & F_SEAL_SHRINK) == 0;
}

static void
unix_mapping_release(struct vhost_pci_mapping *base)
{
	struct unix_mapping *mapping = (struct unix_mapping *)base;

	vhost_pci_faults_remove(mapping->faulting);
	vhost_pci_guard_remove(mapping->base.guard);
	munmap(mapping->pages, mapping->pages_bytes);
	free(mapping);
}

/** The file is a regular one and reaches as far as the part: beyond its end is no memory. */
static int
check_file(int fd, uint64_t offset, uint64_t size)
{
	struct stat status;
	int ret;

	if (size == 0 || size > UINT64_MAX - offset)
		return -EINVAL;
	ret = vhost_pci_peer_fd_check_file(fd);
	if (ret < 0)
		return ret;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || offset + size > (uint64_t)status.st_size)
		return -EINVAL;
	return 0;
}

/** Map whole pages around a part that was checked. */
static int
map_pages(struct unix_mapping *mapping, const struct vhost_pci_map_request *request)
{
	uint64_t page = page_bytes(request->fd);
	uint64_t skipped = request->mmap_offset % page;
	uint64_t bytes = (skipped + request->size + page - 1) / page * page;
	/* Faults are raised before there is access, or something might be touched too early. */
	int access = request->faults != NULL ? PROT_NONE : PROT_READ | PROT_WRITE;
	void *pages;
	int ret;

	/* st_size is below 2^63, and a page far below that: nothing wraps. */
	pages = mmap(NULL, bytes, access, MAP_SHARED | MAP_NORESERVE, request->fd,
			(off_t)(request->mmap_offset - skipped));
	if (pages == MAP_FAILED)
		return -errno;
	/* Another machine's memory does not belong into our core file; a wish, not a need. */
	(void)madvise(pages, bytes, MADV_DONTDUMP);
	/* Sealed files too: their pages may not be had when they are first touched. */
	ret = vhost_pci_guard_add(pages, bytes, page, &mapping->base.guard);
	if (ret < 0)
		goto err_unmap;
	if (request->faults != NULL)
		ret = vhost_pci_faults_add(request->faults, pages, bytes, &mapping->faulting);
	if (ret < 0)
		goto err_remove_guard;
	mapping->pages = pages;
	mapping->pages_bytes = bytes;
	mapping->base.va = (uint8_t *)pages + skipped;
	return 0;

err_remove_guard:
	vhost_pci_guard_remove(mapping->base.guard);
err_unmap:
	munmap(pages, bytes);
	return ret;
}

int
vhost_pci_unix_map_faulting(const struct vhost_pci_map_request *request,
		struct vhost_pci_mapping **mapping)
{
	struct unix_mapping *new_mapping;
	int ret;

	ret = check_file(request->fd, request->mmap_offset, request->size);
	if (ret < 0)
		return ret;
	new_mapping = calloc(1, sizeof(*new_mapping));
	if (new_mapping == NULL)
		return -ENOMEM;
	ret = map_pages(new_mapping, request);
	if (ret < 0) {
		free(new_mapping);
		return ret;
	}
	new_mapping->base.refcnt = 1;
	new_mapping->base.size = request->size;
	new_mapping->base.may_shrink = may_shrink(request->fd);
	new_mapping->base.release = unix_mapping_release;
	*mapping = &new_mapping->base;
	return 0;
}

int
vhost_pci_unix_map(int fd, uint64_t offset, uint64_t size, struct vhost_pci_mapping **mapping)
{
	const struct vhost_pci_map_request request = {
		.fd = fd,
		.mmap_offset = offset,
		.size = size,
	};

	return vhost_pci_unix_map_faulting(&request, mapping);
}

static int
unix_map_region(struct vhost_pci_transport *transport, int fd, uint64_t mmap_offset, uint64_t size,
		struct vhost_pci_mapping **mapping)
{
	(void)transport;
	return vhost_pci_unix_map(fd, mmap_offset, size, mapping);
}

static int
unix_map_faulting(struct vhost_pci_transport *transport,
		const struct vhost_pci_map_request *request, struct vhost_pci_mapping **mapping)
{
	(void)transport;
	return vhost_pci_unix_map_faulting(request, mapping);
}

static int
unix_open_faults(struct vhost_pci_transport *transport, struct vhost_pci_faults **faults)
{
	return vhost_pci_faults_open(transport->event_fd, faults);
}

/* Transports */

static int
unix_open_channel(struct vhost_pci_transport *base, int fd, struct vhost_pci_transport **channel)
{
	(void)base;
	return vhost_pci_unix_channel_create(fd, channel);
}

static const struct vhost_pci_transport_ops unix_ops = {
	.recv = unix_recv,
	.send = unix_send,
	.map_region = unix_map_region,
	.open_channel = unix_open_channel,
	.open_faults = unix_open_faults,
	.map_faulting = unix_map_faulting,
	.close = unix_close,
};

static int
set_non_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static int
transport_create(int fd, enum vhost_pci_msg_kind recv_kind, struct vhost_pci_transport **transport)
{
	struct unix_transport *new_transport;
	int ret;

	ret = set_non_blocking(fd);
	if (ret < 0)
		goto err_close;
	take_out_of_band(fd);
	new_transport = calloc(1, sizeof(*new_transport));
	if (new_transport == NULL) {
		ret = -ENOMEM;
		goto err_close;
	}
	new_transport->base.ops = &unix_ops;
	new_transport->base.event_fd = fd;
	new_transport->recv_kind = recv_kind;
	*transport = &new_transport->base;
	return 0;

err_close:
	vhost_pci_peer_fd_close(fd);
	return ret;
}

int
vhost_pci_unix_transport_create(int fd, struct vhost_pci_transport **transport)
{
	return transport_create(fd, VHOST_PCI_MSG_REQUEST, transport);
}

void
vhost_pci_unix_set_dialect(struct vhost_pci_transport *transport, uint64_t conn_id)
{
	struct unix_transport *own = (struct unix_transport *)transport;

	own->dialect = true;
	own->conn_id = conn_id;
}

int
vhost_pci_unix_channel_create(int fd, struct vhost_pci_transport **transport)
{
	/* Any fd may come; fstat() would ask a file's file system. */
	if (!vhost_pci_peer_fd_is_unix(fd)) {
		vhost_pci_peer_fd_close(fd);
		return -ENOTSOCK;
	}
	return transport_create(fd, VHOST_PCI_MSG_BACKEND_REPLY, transport);
}

/** Take what a UNIX socket holds: its fds, and those of who waits for it to accept. */
static void
empty_socket(int fd)
{
	int type = SOCK_STREAM, left = MAX_PIECES_LEFT, waiting;
	socklen_t type_bytes = sizeof(type);
	uint8_t bytes[512];
	ssize_t nb = 1;

	(void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_bytes);
	/* Nothing more comes. No bytes are the end of a stream, but a message of other sockets. */
	(void)shutdown(fd, SHUT_RD);
	while (left-- > 0 && (nb > 0 || (nb == 0 && type != SOCK_STREAM)))
		nb = vhost_pci_unix_recv_bytes(fd, bytes, sizeof(bytes));
	while ((waiting = vhost_pci_unix_accept(fd)) >= 0)
		vhost_pci_peer_fd_close(waiting);
}

void
vhost_pci_peer_fd_close(int fd)
{
	static __thread unsigned int depth;
	const struct linger none = { 0 };

	/* Most are no sockets, and say so. */
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)) == 0 &&
			vhost_pci_peer_fd_is_unix(fd)) {
		if (depth == MAX_SOCKETS_DEEP) {
			vhost_pci_peer_fd_close_later(fd);
			return;
		}
		depth++;
		empty_socket(fd);
		depth--;
	}
	if (fd >= 0)
		vhost_pci_peer_fd_close_file(fd);
}

bool
vhost_pci_peer_fd_is_unix(int fd)
{
	socklen_t bytes = sizeof(int);
	int domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &bytes) == 0 && domain == AF_UNIX;
}

void
vhost_pci_notify_fd_signal(int fd, enum vhost_pci_notify_way way)
{
	uint64_t one = 1;
	int saved_errno = errno;
	ssize_t ret;

	if (fd < 0)
		return;
	switch (way) {
	case VHOST_PCI_NOTIFY_WRITE:
		ret = write(fd, &one, sizeof(one));
		break;
	case VHOST_PCI_NOTIFY_SIGNAL:
		ret = vhost_pci_notify_eventfd_signal(fd);
		break;
	default:
		ret = send(fd, &one, sizeof(one), MSG_NOSIGNAL | MSG_DONTWAIT);
		break;
	}
	/* Who is full or gone is not told: nobody can do anything about it. */
	(void)ret;
	errno = saved_errno;
}
