/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "frontend_priv.h"
#include "vhost_pci_log.h"
#include "vhost_pci_transport_unix.h"
#include "watch.h"

/** Messages read in one go, so that a front-end that never stops sending stops nobody else. */
#define FRONTEND_BURST 32u

static void frontend_readable(void *opaque);

static void
frontend_update_watch(struct frontend *frontend)
{
	bool wanted = !frontend->is_closing && !frontend->is_paused && !frontend->has_pending;

	if (!wanted)
		watch_stop(&frontend->watch);
	else if (frontend->watch == NULL)
		frontend->watch = watch_fd(frontend->transport->event_fd, G_IO_IN,
				frontend_readable, frontend);
}

enum vhost_pci_log_level
frontend_complaint_level(struct frontend *frontend, enum vhost_pci_log_level level)
{
	if (frontend->has_complained)
		return VHOST_PCI_LOG_DEBUG;
	frontend->has_complained = true;
	return level;
}

static void
frontend_closed(void *opaque)
{
	struct frontend *frontend = opaque;

	frontend->ops->closed(frontend->opaque, frontend->close_reason);
}

void
frontend_close(struct frontend *frontend, const char *reason)
{
	if (frontend->is_closing)
		return;
	frontend->is_closing = true;
	frontend->is_relaying = false;
	frontend->has_pending = false;
	frontend->close_reason = g_strdup(reason);
	frontend_update_watch(frontend);
	frontend->watch_close = watch_idle(frontend_closed, frontend);
}

static void
frontend_send(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	int error = vhost_pci_transport_send(frontend->transport, msg);

	if (error < 0)
		frontend_close(frontend, "it does not take its replies");
}

/* Answer in place of the driver. */
static void
frontend_answer(struct frontend *frontend, const struct vhost_user_hdr *request, uint32_t index)
{
	struct vhost_pci_msg reply;
	int error = frontend_msg_answer(frontend, request, index, &reply);

	if (error == 0)
		frontend_send(frontend, &reply);
	else if (error == -ENODATA)
		frontend_close(frontend, "where a packed ring stands is known to no driver");
	else
		frontend_close(frontend, "a request that was not offered wants an answer");
}

/* A message that can't be accepted: an error where an answer has a place for it, or the end. */
static void
frontend_refuse(struct frontend *frontend, const struct vhost_pci_msg *msg, int error)
{
	g_autofree char *reason = NULL;
	struct vhost_pci_msg reply;

	/*
	 * Only an acknowledgement says no in a way that front-ends look at: the reply to
	 * SET_LOG_BASE is not, and who overlooks it loses pages.
	 */
	if (vhost_pci_codec_reply(msg->hdr.request) == VHOST_PCI_REPLY_ACK &&
			frontend_msg_wants_reply(frontend, &msg->hdr)) {
		frontend->stats.refused++;
		vhost_pci_log(frontend_complaint_level(frontend, VHOST_PCI_LOG_WARNING),
				"%s: %s refused: %s", frontend->name,
				vhost_pci_codec_name(msg->hdr.request), strerror(-error));
		vhost_pci_codec_make_reply(&reply, msg->hdr.request, sizeof(reply.payload.u64));
		reply.payload.u64 = 1;
		frontend_send(frontend, &reply);
		return;
	}
	/* an unknown message that wants no answer does no harm */
	if (error == -ENOTSUP && vhost_pci_codec_reply(msg->hdr.request) == VHOST_PCI_REPLY_ACK) {
		frontend->stats.refused++;
		return;
	}
	reason = g_strdup_printf("%s (%u) can't be accepted: %s",
			vhost_pci_codec_name(msg->hdr.request), msg->hdr.request, strerror(-error));
	frontend_close(frontend, reason);
}

static void
frontend_check_complete(struct frontend *frontend)
{
	if (frontend->is_complete || !record_is_complete(&frontend->record))
		return;
	frontend->is_complete = true;
	frontend->ops->complete(frontend->opaque);
}

/* Hand a message over to the driver, or answer it. */
static void
frontend_dispatch(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	bool wants_reply = frontend_msg_wants_reply(frontend, &msg->hdr);
	bool by_device = frontend_msg_class(msg->hdr.request) == FRONTEND_CLASS_D;
	uint32_t index = msg->payload.state.index;

	if (frontend->is_relaying) {
		if (wants_reply && !by_device) {
			frontend->has_pending = true;
			frontend->pending = msg->hdr;
			frontend->pending_index = index;
			frontend->pending_since = g_get_monotonic_time();
			frontend_update_watch(frontend);
		}
		if (frontend->ops->relay(frontend->opaque, msg, by_device) == FRONTEND_NOT_RELAYED)
			frontend_answer_pending(frontend);
		if (!by_device)
			return;
	}
	if (wants_reply)
		frontend_answer(frontend, &msg->hdr, index);
}

/* A request that only a header of version 2 has. */
static void
frontend_handle_dialect(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	g_autofree char *reason = NULL;
	struct vhost_pci_msg reply;
	int ret = frontend_dialect_handle(frontend, msg, &reply);

	if (ret > 0)
		frontend_send(frontend, &reply);
	if (ret >= 0)
		return;
	reason = g_strdup_printf("request %u of the vhost-pci dialect can't be accepted: %s",
			msg->hdr.request, strerror(-ret));
	frontend_close(frontend, reason);
}

static void
frontend_handle(struct frontend *frontend, struct vhost_pci_msg *msg)
{
	unsigned int nb_fds = msg->nb_fds;
	int error;

	frontend->stats.messages++;
	if (vhost_pci_codec_is_dialect(&msg->hdr))
		frontend->record.is_dialect = true;
	if (vhost_pci_codec_is_dialect_request(&msg->hdr)) {
		frontend_handle_dialect(frontend, msg);
		return;
	}
	/* [ADP-9.1]: all others are the same, and relayed with headers of version 1 */
	msg->hdr.flags = (msg->hdr.flags & ~VHOST_USER_VERSION_MASK) | VHOST_USER_VERSION;
	if (msg->hdr.request == VHOST_USER_RESET_OWNER) {
		/* "deprecated ... the back-end must ignore" */
		vhost_pci_msg_close_fds(msg);
		return;
	}
	error = frontend_msg_record(frontend, msg);
	vhost_pci_msg_close_fds(msg);
	if (error < 0) {
		frontend_refuse(frontend, msg, error);
		return;
	}
	if (error > 0) {
		if (frontend_msg_wants_reply(frontend, &msg->hdr))
			frontend_answer(frontend, &msg->hdr, 0);
		return;
	}
	msg->nb_fds = nb_fds; /* their number is relayed */
	memset(msg->fds, 0xff, sizeof(msg->fds));
	frontend_dispatch(frontend, msg);
	if (!frontend->is_closing)
		frontend_check_complete(frontend);
}

static void
frontend_readable(void *opaque)
{
	struct frontend *frontend = opaque;
	struct vhost_pci_msg msg;

	for (unsigned int i = 0; i < FRONTEND_BURST && frontend->watch != NULL; i++) {
		int ret = vhost_pci_transport_recv(frontend->transport, &msg);
		g_autofree char *reason = NULL;

		if (ret == -EAGAIN)
			return;
		if (ret == 1) {
			frontend_handle(frontend, &msg);
			continue;
		}
		if (ret < 0)
			reason = g_strdup_printf("no vhost-user message, or cut short: %s",
					strerror(-ret));
		frontend_close(frontend, reason);
	}
}

int
frontend_create(int fd, const struct frontend_config *config, const struct frontend_ops *ops,
		void *opaque, struct frontend **frontend)
{
	struct vhost_pci_transport *transport;
	struct frontend *fe;
	int error;

	error = vhost_pci_unix_transport_create(fd, &transport);
	if (error < 0)
		return error;
	fe = g_new0(struct frontend, 1);
	fe->config = *config;
	fe->name = g_strdup(config->name);
	fe->config.name = fe->name;
	fe->ops = ops;
	fe->opaque = opaque;
	fe->transport = transport;
	if (config->dialect)
		vhost_pci_unix_set_dialect(transport, config->conn_id);
	record_init(&fe->record, config->nb_vrings);
	frontend_update_watch(fe);
	*frontend = fe;
	return 0;
}

void
frontend_set_owner(struct frontend *frontend, const struct frontend_ops *ops, void *opaque)
{
	frontend->ops = ops;
	frontend->opaque = opaque;
}

void
frontend_destroy(struct frontend *frontend)
{
	if (frontend == NULL)
		return;
	watch_stop(&frontend->watch);
	watch_stop(&frontend->watch_close);
	frontend_channel_close(frontend);
	vhost_pci_transport_close(frontend->transport);
	record_clear(&frontend->record);
	g_free(frontend->close_reason);
	g_free(frontend->name);
	g_free(frontend);
}

void
frontend_set_relaying(struct frontend *frontend, bool relaying)
{
	frontend->is_relaying = relaying && !frontend->is_closing;
}

void
frontend_set_paused(struct frontend *frontend, bool paused)
{
	frontend->is_paused = paused;
	frontend_update_watch(frontend);
}

const struct vhost_user_hdr *
frontend_pending(const struct frontend *frontend)
{
	return frontend->has_pending ? &frontend->pending : NULL;
}

int64_t
frontend_pending_since(const struct frontend *frontend)
{
	return frontend->pending_since;
}

/* Whether a reply of the driver is one to the request that waits [ADP-9.17]. */
static bool
frontend_reply_fits(const struct frontend *frontend, const struct vhost_pci_msg *reply)
{
	uint32_t request = frontend->pending.request, size = reply->hdr.size;

	if (!frontend->has_pending || reply->hdr.request != request || reply->nb_fds > 0)
		return false;
	if (request == VHOST_USER_GET_VRING_BASE)
		return size == sizeof(reply->payload.state) &&
				reply->payload.state.index == frontend->pending_index;
	if (request == VHOST_USER_GET_CONFIG)
		return size == frontend->pending.size || size == 0;
	return size == sizeof(reply->payload.u64);
}

int
frontend_reply(struct frontend *frontend, struct vhost_pci_msg *reply)
{
	if (!frontend_reply_fits(frontend, reply))
		return -EPROTO;
	frontend->has_pending = false;
	frontend->stats.replies++;
	reply->hdr.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	if (reply->hdr.request == VHOST_USER_GET_VRING_BASE) {
		uint32_t index = reply->payload.state.index;

		record_vring_stopped(&frontend->record.vrings[index], reply->payload.state.num);
		frontend->ops->event_changed(frontend->opaque, index);
	}
	frontend_send(frontend, reply);
	frontend_update_watch(frontend);
	return 0;
}

void
frontend_tell_peer(struct frontend *frontend, uint32_t peer)
{
	struct vhost_pci_msg msg = {
		.hdr = { VHOST_USER_SET_PEER_CONNECTION, VHOST_USER_VERSION_2,
				sizeof(msg.payload.u64) },
		.payload.u64 = peer,
	};

	if (frontend->record.is_dialect && !frontend->is_closing)
		frontend_send(frontend, &msg);
}

void
frontend_answer_pending(struct frontend *frontend)
{
	if (!frontend->has_pending)
		return;
	frontend->has_pending = false;
	frontend_answer(frontend, &frontend->pending, frontend->pending_index);
	frontend_update_watch(frontend);
}

uint64_t
frontend_conn_id(const struct frontend *frontend)
{
	return frontend->config.conn_id;
}

struct record *
frontend_record(struct frontend *frontend)
{
	return &frontend->record;
}

bool
frontend_is_complete(const struct frontend *frontend)
{
	return frontend->is_complete;
}

const struct frontend_config *
frontend_config(const struct frontend *frontend)
{
	return &frontend->config;
}

const struct frontend_stats *
frontend_stats(const struct frontend *frontend)
{
	return &frontend->stats;
}
