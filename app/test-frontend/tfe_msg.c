/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "tfe_conn.h"
#include "tfe_req.h"

void
tfe_msg_init(struct tfe_msg *msg, uint32_t request, const void *payload, uint32_t nb_bytes)
{
	msg->hdr.request = request;
	msg->hdr.flags = TFE_VU_VERSION;
	msg->hdr.size = nb_bytes;
	msg->nb_fds = 0;
	msg->fds_truncated = false;
	if (nb_bytes > sizeof(msg->raw))
		nb_bytes = sizeof(msg->raw);
	if (payload != NULL)
		memcpy(msg->raw, payload, nb_bytes);
	else
		memset(msg->raw, 0, nb_bytes);
}

void
tfe_msg_init_u64(struct tfe_msg *msg, uint32_t request, uint64_t value)
{
	tfe_msg_init(msg, request, &value, sizeof(value));
}

void
tfe_msg_add_fd(struct tfe_msg *msg, int fd)
{
	if (msg->nb_fds < TFE_MSG_FDS)
		msg->fds[msg->nb_fds++] = fd;
}

void
tfe_msg_close_fds(struct tfe_msg *msg)
{
	for (unsigned int i = 0; i < msg->nb_fds; i++)
		close(msg->fds[i]);
	msg->nb_fds = 0;
}

int
tfe_conn_recv(struct tfe_conn *conn, struct tfe_msg *msg)
{
	int ret;

	msg->nb_fds = 0;
	msg->fds_truncated = false;
	ret = tfe_conn_recv_raw(conn, &msg->hdr, sizeof(msg->hdr), msg);
	if (ret < 0)
		goto err_close_fds;
	ret = -EBADMSG;
	if ((msg->hdr.flags & TFE_VU_VERSION_MASK) != TFE_VU_VERSION)
		goto err_close_fds;
	if (msg->hdr.size > sizeof(msg->raw))
		goto err_close_fds;
	ret = tfe_conn_recv_raw(conn, msg->raw, msg->hdr.size, msg);
	if (ret < 0)
		goto err_close_fds;
	conn->nb_received++;
	return 0;

err_close_fds:
	tfe_msg_close_fds(msg);
	return ret;
}

/* Receive the reply to a request; the fds it carries are the caller's. */
static int
recv_reply(struct tfe_conn *conn, uint32_t request, struct tfe_msg *reply)
{
	int ret;

	ret = tfe_conn_recv(conn, reply);
	if (ret < 0)
		return ret;
	if (reply->hdr.request != request || !(reply->hdr.flags & TFE_VU_REPLY)) {
		tfe_msg_close_fds(reply);
		return -EBADMSG;
	}
	return 0;
}

int
tfe_conn_call(struct tfe_conn *conn, const struct tfe_msg *msg)
{
	struct tfe_msg copy = *msg;
	int ret;

	if (conn->need_reply)
		copy.hdr.flags |= TFE_VU_NEED_REPLY;
	ret = tfe_conn_send(conn, &copy);
	if (ret < 0 || !(copy.hdr.flags & TFE_VU_NEED_REPLY))
		return ret;
	ret = recv_reply(conn, msg->hdr.request, &copy);
	if (ret < 0)
		return ret;
	/* "REPLY_ACK": the payload is one u64; no fd belongs to it. */
	if (copy.hdr.size != sizeof(copy.u64) || copy.nb_fds > 0) {
		tfe_msg_close_fds(&copy);
		return -EBADMSG;
	}
	conn->last_ack = copy.u64;
	return copy.u64 == 0 ? 0 : -EREMOTEIO;
}

int
tfe_conn_query(struct tfe_conn *conn, struct tfe_msg *msg)
{
	uint32_t request = msg->hdr.request;
	int ret;

	ret = tfe_conn_send(conn, msg);
	if (ret < 0)
		return ret;
	return recv_reply(conn, request, msg);
}

int
tfe_conn_answer(struct tfe_conn *conn, const struct tfe_msg *request, uint64_t value)
{
	struct tfe_msg answer;

	tfe_msg_init_u64(&answer, request->hdr.request, value);
	answer.hdr.flags |= TFE_VU_REPLY;
	return tfe_conn_send(conn, &answer);
}

int
tfe_conn_open_channel(struct tfe_conn *conn, struct tfe_conn *channel)
{
	int fds[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ret = tfe_req_set_backend_req_fd(conn, fds[1]);
	close(fds[1]);
	if (ret < 0) {
		close(fds[0]);
		return ret;
	}
	return tfe_conn_adopt(channel, fds[0]);
}
