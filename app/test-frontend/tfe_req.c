/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <string.h>

#include "tfe_req.h"

/* A request without reply; fd below 0 stands for none. */
static int
call(struct tfe_conn *conn, uint32_t request, const void *payload, uint32_t nb_bytes, int fd)
{
	struct tfe_msg msg;

	tfe_msg_init(&msg, request, payload, nb_bytes);
	if (fd >= 0)
		tfe_msg_add_fd(&msg, fd);
	return tfe_conn_call(conn, &msg);
}

static int
call_u64(struct tfe_conn *conn, uint32_t request, uint64_t value)
{
	return call(conn, request, &value, sizeof(value), -1);
}

static int
call_empty(struct tfe_conn *conn, uint32_t request)
{
	return call(conn, request, NULL, 0, -1);
}

static int
call_state(struct tfe_conn *conn, uint32_t request, uint32_t index, uint32_t num)
{
	struct tfe_vu_vring_state state = { .index = index, .num = num };

	return call(conn, request, &state, sizeof(state), -1);
}

static int
call_region(struct tfe_conn *conn, uint32_t request, const struct tfe_vu_region *region, int fd)
{
	struct tfe_vu_single_region single = { .region = *region };

	return call(conn, request, &single, sizeof(single), fd);
}

static int
call_vring_fd(struct tfe_conn *conn, uint32_t request, uint32_t index, int fd)
{
	uint64_t value = index & TFE_VU_VRING_IDX_MASK;

	if (fd < 0)
		value |= TFE_VU_VRING_NOFD;
	return call(conn, request, &value, sizeof(value), fd);
}

/* Send a request and check the reply: its payload has nb_bytes, it carries no fd. */
static int
query(struct tfe_conn *conn, struct tfe_msg *msg, uint32_t nb_bytes)
{
	int ret;

	ret = tfe_conn_query(conn, msg);
	if (ret < 0)
		return ret;
	if (msg->hdr.size != nb_bytes || msg->nb_fds > 0) {
		tfe_msg_close_fds(msg);
		return -EBADMSG;
	}
	return 0;
}

static int
query_u64(struct tfe_conn *conn, uint32_t request, uint64_t *value)
{
	struct tfe_msg msg;
	int ret;

	tfe_msg_init(&msg, request, NULL, 0);
	ret = query(conn, &msg, sizeof(msg.u64));
	if (ret == 0)
		*value = msg.u64;
	return ret;
}

int
tfe_req_get_features(struct tfe_conn *conn, uint64_t *features)
{
	return query_u64(conn, TFE_VU_GET_FEATURES, features);
}

int
tfe_req_set_features(struct tfe_conn *conn, uint64_t features)
{
	return call_u64(conn, TFE_VU_SET_FEATURES, features);
}

int
tfe_req_get_protocol_features(struct tfe_conn *conn, uint64_t *features)
{
	return query_u64(conn, TFE_VU_GET_PROTOCOL_FEATURES, features);
}

int
tfe_req_set_protocol_features(struct tfe_conn *conn, uint64_t features)
{
	return call_u64(conn, TFE_VU_SET_PROTOCOL_FEATURES, features);
}

int
tfe_req_set_owner(struct tfe_conn *conn)
{
	return call_empty(conn, TFE_VU_SET_OWNER);
}

int
tfe_req_reset_owner(struct tfe_conn *conn)
{
	return call_empty(conn, TFE_VU_RESET_OWNER);
}

int
tfe_req_reset_device(struct tfe_conn *conn)
{
	return call_empty(conn, TFE_VU_RESET_DEVICE);
}

int
tfe_req_get_queue_num(struct tfe_conn *conn, uint64_t *nb_queues)
{
	return query_u64(conn, TFE_VU_GET_QUEUE_NUM, nb_queues);
}

int
tfe_req_get_status(struct tfe_conn *conn, uint64_t *status)
{
	return query_u64(conn, TFE_VU_GET_STATUS, status);
}

int
tfe_req_set_status(struct tfe_conn *conn, uint64_t status)
{
	return call_u64(conn, TFE_VU_SET_STATUS, status);
}

int
tfe_req_set_vring_num(struct tfe_conn *conn, uint32_t index, uint32_t num)
{
	return call_state(conn, TFE_VU_SET_VRING_NUM, index, num);
}

int
tfe_req_set_vring_base(struct tfe_conn *conn, uint32_t index, uint32_t base)
{
	return call_state(conn, TFE_VU_SET_VRING_BASE, index, base);
}

int
tfe_req_get_vring_base(struct tfe_conn *conn, uint32_t index, uint32_t *base)
{
	struct tfe_vu_vring_state state = { .index = index };
	struct tfe_msg msg;
	int ret;

	tfe_msg_init(&msg, TFE_VU_GET_VRING_BASE, &state, sizeof(state));
	ret = query(conn, &msg, sizeof(msg.state));
	if (ret < 0)
		return ret;
	if (msg.state.index != index)
		return -EBADMSG;
	*base = msg.state.num;
	return 0;
}

int
tfe_req_set_vring_addr(struct tfe_conn *conn, const struct tfe_vu_vring_addr *addr)
{
	return call(conn, TFE_VU_SET_VRING_ADDR, addr, sizeof(*addr), -1);
}

int
tfe_req_set_vring_enable(struct tfe_conn *conn, uint32_t index, bool enable)
{
	return call_state(conn, TFE_VU_SET_VRING_ENABLE, index, enable ? 1 : 0);
}

int
tfe_req_set_vring_kick(struct tfe_conn *conn, uint32_t index, int fd)
{
	return call_vring_fd(conn, TFE_VU_SET_VRING_KICK, index, fd);
}

int
tfe_req_set_vring_call(struct tfe_conn *conn, uint32_t index, int fd)
{
	return call_vring_fd(conn, TFE_VU_SET_VRING_CALL, index, fd);
}

int
tfe_req_set_vring_err(struct tfe_conn *conn, uint32_t index, int fd)
{
	return call_vring_fd(conn, TFE_VU_SET_VRING_ERR, index, fd);
}

int
tfe_req_vring_kick(struct tfe_conn *conn, uint32_t index)
{
	return call_state(conn, TFE_VU_VRING_KICK, index, 0);
}

int
tfe_req_set_mem_table(struct tfe_conn *conn, const struct tfe_vu_region *regions, const int *fds,
		unsigned int nb_regions)
{
	struct tfe_vu_mem_table table = { .nb_regions = nb_regions };
	struct tfe_msg msg;

	if (nb_regions > TFE_VU_MEM_TABLE_REGIONS)
		return -E2BIG;
	for (unsigned int i = 0; i < nb_regions; i++)
		table.regions[i] = regions[i];
	tfe_msg_init(&msg, TFE_VU_SET_MEM_TABLE, &table,
			(uint32_t)(offsetof(struct tfe_vu_mem_table, regions) +
					nb_regions * sizeof(table.regions[0])));
	for (unsigned int i = 0; i < nb_regions; i++)
		tfe_msg_add_fd(&msg, fds[i]);
	return tfe_conn_call(conn, &msg);
}

int
tfe_req_get_max_mem_slots(struct tfe_conn *conn, uint64_t *nb_slots)
{
	return query_u64(conn, TFE_VU_GET_MAX_MEM_SLOTS, nb_slots);
}

int
tfe_req_add_mem_reg(struct tfe_conn *conn, const struct tfe_vu_region *region, int fd)
{
	return call_region(conn, TFE_VU_ADD_MEM_REG, region, fd);
}

int
tfe_req_rem_mem_reg(struct tfe_conn *conn, const struct tfe_vu_region *region, int fd)
{
	return call_region(conn, TFE_VU_REM_MEM_REG, region, fd);
}

int
tfe_req_iotlb(struct tfe_conn *conn, const struct tfe_vu_iotlb *iotlb)
{
	return call(conn, TFE_VU_IOTLB_MSG, iotlb, sizeof(*iotlb), -1);
}

int
tfe_req_set_log_base(struct tfe_conn *conn, const struct tfe_vu_log *log, int fd)
{
	struct tfe_msg msg;
	int ret;

	tfe_msg_init(&msg, TFE_VU_SET_LOG_BASE, log, sizeof(*log));
	if (fd >= 0)
		tfe_msg_add_fd(&msg, fd);
	ret = tfe_conn_query(conn, &msg);
	if (ret < 0)
		return ret;
	/* The reply's payload is not specified: empty, an u64 or the log are all seen. */
	tfe_msg_close_fds(&msg);
	return 0;
}

int
tfe_req_set_log_fd(struct tfe_conn *conn, int fd)
{
	return call(conn, TFE_VU_SET_LOG_FD, NULL, 0, fd);
}

int
tfe_req_send_rarp(struct tfe_conn *conn, const uint8_t mac[6])
{
	uint64_t value = 0;

	memcpy(&value, mac, 6);
	return call_u64(conn, TFE_VU_SEND_RARP, value);
}

int
tfe_req_get_inflight_fd(struct tfe_conn *conn, struct tfe_vu_inflight *inflight, int *fd)
{
	struct tfe_msg msg;
	int ret;

	tfe_msg_init(&msg, TFE_VU_GET_INFLIGHT_FD, inflight, TFE_VU_INFLIGHT_BYTES);
	ret = tfe_conn_query(conn, &msg);
	if (ret < 0)
		return ret;
	/* Structures with and without the trailing padding are both on the market. */
	if (msg.nb_fds != 1 || msg.hdr.size < TFE_VU_INFLIGHT_BYTES ||
			msg.hdr.size > sizeof(msg.inflight)) {
		tfe_msg_close_fds(&msg);
		return -EBADMSG;
	}
	*inflight = msg.inflight;
	*fd = msg.fds[0];
	return 0;
}

int
tfe_req_set_inflight_fd(struct tfe_conn *conn, const struct tfe_vu_inflight *inflight, int fd)
{
	return call(conn, TFE_VU_SET_INFLIGHT_FD, inflight, TFE_VU_INFLIGHT_BYTES, fd);
}

int
tfe_req_net_set_mtu(struct tfe_conn *conn, uint64_t mtu)
{
	return call_u64(conn, TFE_VU_NET_SET_MTU, mtu);
}

int
tfe_req_get_config(struct tfe_conn *conn, struct tfe_vu_config *config)
{
	const uint32_t nb_bytes = offsetof(struct tfe_vu_config, data) + config->size_bytes;
	struct tfe_msg msg;
	int ret;

	if (config->size_bytes > TFE_VU_CONFIG_BYTES)
		return -EINVAL;
	tfe_msg_init(&msg, TFE_VU_GET_CONFIG, config, nb_bytes);
	ret = tfe_conn_query(conn, &msg);
	if (ret < 0)
		return ret;
	if (msg.hdr.size == 0)
		return -ENODATA;
	if (msg.hdr.size != nb_bytes || msg.config.size_bytes != config->size_bytes) {
		tfe_msg_close_fds(&msg);
		return -EBADMSG;
	}
	memcpy(config, &msg.config, nb_bytes);
	return 0;
}

int
tfe_req_set_config(struct tfe_conn *conn, const struct tfe_vu_config *config)
{
	if (config->size_bytes > TFE_VU_CONFIG_BYTES)
		return -EINVAL;
	return call(conn, TFE_VU_SET_CONFIG, config,
			(uint32_t)offsetof(struct tfe_vu_config, data) + config->size_bytes, -1);
}

int
tfe_req_set_backend_req_fd(struct tfe_conn *conn, int fd)
{
	return call(conn, TFE_VU_SET_BACKEND_REQ_FD, NULL, 0, fd);
}
