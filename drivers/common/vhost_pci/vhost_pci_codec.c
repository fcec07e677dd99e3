/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include "vhost_pci_codec.h"

#include <errno.h>
#include <string.h>

#include "vhost_pci_peer_fd.h"

/** What a message of one id looks like, whatever the session's state. */
struct syntax {
	const char *name;
	uint16_t min_bytes; /**< Smallest payload. */
	uint16_t max_bytes; /**< Largest payload. */
	uint16_t step;      /**< The payload is min_bytes and a multiple of this; 0: min only. */
	uint8_t min_fds;
	uint8_t max_fds;
	uint8_t reply; /**< enum vhost_pci_reply. */
	/** Contradictions between the parts of a message; NULL: there can be none. */
	int (*check)(const struct vhost_pci_msg *msg);
};

/** Bytes of a payload that ends before a member of a payload struct. */
#define BYTES_BEFORE(type, member) offsetof(struct vhost_user_##type, member)

#define U64_BYTES   sizeof(uint64_t)
#define STATE_BYTES sizeof(struct vhost_vring_state)

/** The number of regions agrees with size and fds ("SET_MEM_TABLE": one fd for each region). */
static int
check_mem_table(const struct vhost_pci_msg *msg)
{
	uint32_t nb_regions = msg->payload.mem_table.nb_regions;
	uint32_t nb_sent = (msg->hdr.size - BYTES_BEFORE(mem_table, region)) /
			sizeof(struct vhost_user_mem_region);

	/* Entries beyond the last region may be sent, but hold nothing. */
	if (nb_regions > nb_sent || nb_regions != msg->nb_fds)
		return -EBADMSG;
	return 0;
}

/** An fd comes with the log's description and not with an address of the front-end's own. */
static int
check_log_base(const struct vhost_pci_msg *msg)
{
	bool has_fd = msg->nb_fds != 0;

	return has_fd == (msg->hdr.size == sizeof(struct vhost_user_log)) ? 0 : -EBADMSG;
}

/** "Bits (0-7) contain the vring index. Bit 8 is the invalid FD flag." The others are reserved. */
static int
check_vring_fd(const struct vhost_pci_msg *msg)
{
	uint64_t u64 = msg->payload.u64;
	bool no_fd = (u64 & VHOST_USER_VRING_NOFD) != 0;

	if ((u64 & ~(VHOST_USER_VRING_IDX_MASK | VHOST_USER_VRING_NOFD)) != 0)
		return -EBADMSG;
	return no_fd == (msg->nb_fds == 0) ? 0 : -EBADMSG;
}

/** A u64 in the place of a region: the front-end's answer to the reply of a postcopy phase. */
static bool
is_postcopy_ack(const struct vhost_pci_msg *msg)
{
	return msg->hdr.size == U64_BYTES;
}

static int
check_add_mem_reg(const struct vhost_pci_msg *msg)
{
	if (is_postcopy_ack(msg))
		return msg->nb_fds == 0 ? 0 : -E2BIG;
	return msg->nb_fds == 1 ? 0 : -EBADF;
}

/** "the back-end MAY accept messages with one file descriptor" */
static int
check_rem_mem_reg(const struct vhost_pci_msg *msg)
{
	return is_postcopy_ack(msg) && msg->nb_fds != 0 ? -E2BIG : 0;
}

/** "Payload: Size bytes array holding the contents of the configuration space". */
static int
check_config(const struct vhost_pci_msg *msg)
{
	uint32_t nb_sent = msg->hdr.size - BYTES_BEFORE(config, data);

	return msg->payload.config.size == nb_sent ? 0 : -EBADMSG;
}

/** @name Shapes of payloads, as initialisers */
/**@{*/
#define NO_PAYLOAD                 .min_bytes = 0
#define PAYLOAD(bytes)             .min_bytes = (bytes), .max_bytes = (bytes)
#define PAYLOAD_OF(min, max, item) .min_bytes = (min), .max_bytes = (max), .step = (item)
#define FDS(min, max)              .min_fds = (min), .max_fds = (max)
/**@}*/

static const struct syntax requests[VHOST_USER_REQUEST_MAX] = {
	[VHOST_USER_GET_FEATURES] = { "GET_FEATURES", NO_PAYLOAD, .reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_SET_FEATURES] = { "SET_FEATURES", PAYLOAD(U64_BYTES) },
	[VHOST_USER_SET_OWNER] = { "SET_OWNER", NO_PAYLOAD },
	[VHOST_USER_RESET_OWNER] = { "RESET_OWNER", NO_PAYLOAD },
	[VHOST_USER_SET_MEM_TABLE] = { "SET_MEM_TABLE",
			PAYLOAD_OF(BYTES_BEFORE(mem_table, region),
					sizeof(struct vhost_user_mem_table),
					sizeof(struct vhost_user_mem_region)),
			FDS(0, VHOST_USER_MEM_TABLE_REGIONS), .check = check_mem_table },
	/* A bare u64 without LOG_SHMFD; whether that was negotiated is not for the codec to say. */
	[VHOST_USER_SET_LOG_BASE] = { "SET_LOG_BASE",
			PAYLOAD_OF(U64_BYTES, sizeof(struct vhost_user_log), U64_BYTES), FDS(0, 1),
			.reply = VHOST_PCI_REPLY_CODE, .check = check_log_base },
	[VHOST_USER_SET_LOG_FD] = { "SET_LOG_FD", NO_PAYLOAD, FDS(1, 1) },
	[VHOST_USER_SET_VRING_NUM] = { "SET_VRING_NUM", PAYLOAD(STATE_BYTES) },
	[VHOST_USER_SET_VRING_ADDR] = { "SET_VRING_ADDR",
			PAYLOAD(sizeof(struct vhost_vring_addr)) },
	[VHOST_USER_SET_VRING_BASE] = { "SET_VRING_BASE", PAYLOAD(STATE_BYTES) },
	[VHOST_USER_GET_VRING_BASE] = { "GET_VRING_BASE", PAYLOAD(STATE_BYTES),
			.reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_SET_VRING_KICK] = { "SET_VRING_KICK", PAYLOAD(U64_BYTES), FDS(0, 1),
			.check = check_vring_fd },
	[VHOST_USER_SET_VRING_CALL] = { "SET_VRING_CALL", PAYLOAD(U64_BYTES), FDS(0, 1),
			.check = check_vring_fd },
	[VHOST_USER_SET_VRING_ERR] = { "SET_VRING_ERR", PAYLOAD(U64_BYTES), FDS(0, 1),
			.check = check_vring_fd },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", NO_PAYLOAD,
			.reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", PAYLOAD(U64_BYTES) },
	[VHOST_USER_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", NO_PAYLOAD, .reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", PAYLOAD(STATE_BYTES) },
	[VHOST_USER_SEND_RARP] = { "SEND_RARP", PAYLOAD(U64_BYTES) },
	[VHOST_USER_NET_SET_MTU] = { "NET_SET_MTU", PAYLOAD(U64_BYTES) },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { "SET_BACKEND_REQ_FD", NO_PAYLOAD, FDS(1, 1) },
	[VHOST_USER_IOTLB_MSG] = { "IOTLB_MSG", PAYLOAD(sizeof(struct vhost_iotlb_msg)),
			.reply = VHOST_PCI_REPLY_CODE },
	[VHOST_USER_SET_VRING_ENDIAN] = { "SET_VRING_ENDIAN", PAYLOAD(STATE_BYTES) },
	[VHOST_USER_GET_CONFIG] = { "GET_CONFIG",
			PAYLOAD_OF(BYTES_BEFORE(config, data),
					BYTES_BEFORE(config, data) + VHOST_USER_CONFIG_BYTES, 1),
			.reply = VHOST_PCI_REPLY_OWN, .check = check_config },
	[VHOST_USER_SET_CONFIG] = { "SET_CONFIG",
			PAYLOAD_OF(BYTES_BEFORE(config, data),
					BYTES_BEFORE(config, data) + VHOST_USER_CONFIG_BYTES, 1),
			.check = check_config },
	/* Crypto devices only: nothing is looked at. */
	[VHOST_USER_CREATE_CRYPTO_SESSION] = { "CREATE_CRYPTO_SESSION",
			PAYLOAD_OF(0, sizeof(union vhost_user_payload), 1),
			.reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_CLOSE_CRYPTO_SESSION] = { "CLOSE_CRYPTO_SESSION", PAYLOAD(U64_BYTES) },
	[VHOST_USER_POSTCOPY_ADVISE] = { "POSTCOPY_ADVISE", NO_PAYLOAD,
			.reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_POSTCOPY_LISTEN] = { "POSTCOPY_LISTEN", NO_PAYLOAD },
	[VHOST_USER_POSTCOPY_END] = { "POSTCOPY_END", NO_PAYLOAD, .reply = VHOST_PCI_REPLY_CODE },
	[VHOST_USER_GET_INFLIGHT_FD] = { "GET_INFLIGHT_FD",
			PAYLOAD_OF(BYTES_BEFORE(inflight, padding),
					sizeof(struct vhost_user_inflight), 4),
			.reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_SET_INFLIGHT_FD] = { "SET_INFLIGHT_FD",
			PAYLOAD_OF(BYTES_BEFORE(inflight, padding),
					sizeof(struct vhost_user_inflight), 4),
			FDS(1, 1) },
	[VHOST_USER_GPU_SET_SOCKET] = { "GPU_SET_SOCKET", NO_PAYLOAD, FDS(1, 1) },
	[VHOST_USER_RESET_DEVICE] = { "RESET_DEVICE", NO_PAYLOAD },
	[VHOST_USER_VRING_KICK] = { "VRING_KICK", PAYLOAD(STATE_BYTES) },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { "GET_MAX_MEM_SLOTS", NO_PAYLOAD,
			.reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_ADD_MEM_REG] = { "ADD_MEM_REG",
			PAYLOAD_OF(U64_BYTES, sizeof(struct vhost_user_single_region),
					sizeof(struct vhost_user_mem_region)),
			FDS(0, 1), .check = check_add_mem_reg },
	[VHOST_USER_REM_MEM_REG] = { "REM_MEM_REG",
			PAYLOAD_OF(U64_BYTES, sizeof(struct vhost_user_single_region),
					sizeof(struct vhost_user_mem_region)),
			FDS(0, 1), .check = check_rem_mem_reg },
	[VHOST_USER_SET_STATUS] = { "SET_STATUS", PAYLOAD(U64_BYTES) },
	[VHOST_USER_GET_STATUS] = { "GET_STATUS", NO_PAYLOAD, .reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_GET_SHARED_OBJECT] = { "GET_SHARED_OBJECT",
			PAYLOAD(sizeof(struct vhost_user_shared)), .reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_SET_DEVICE_STATE_FD] = { "SET_DEVICE_STATE_FD",
			PAYLOAD(sizeof(struct vhost_user_device_state)), FDS(1, 1),
			.reply = VHOST_PCI_REPLY_OWN },
	[VHOST_USER_CHECK_DEVICE_STATE] = { "CHECK_DEVICE_STATE", NO_PAYLOAD,
			.reply = VHOST_PCI_REPLY_CODE },
	[VHOST_USER_GET_SHMEM_CONFIG] = { "GET_SHMEM_CONFIG", NO_PAYLOAD,
			.reply = VHOST_PCI_REPLY_OWN },
};

static const struct syntax backend_requests[VHOST_USER_BACKEND_REQUEST_MAX] = {
	[VHOST_USER_BACKEND_IOTLB_MSG] = { "BACKEND_IOTLB_MSG",
			PAYLOAD(sizeof(struct vhost_iotlb_msg)) },
	[VHOST_USER_BACKEND_CONFIG_CHANGE_MSG] = { "BACKEND_CONFIG_CHANGE_MSG", NO_PAYLOAD },
	[VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG] = { "BACKEND_VRING_HOST_NOTIFIER_MSG",
			PAYLOAD(sizeof(struct vhost_user_vring_area)), FDS(0, 1) },
	[VHOST_USER_BACKEND_VRING_CALL] = { "BACKEND_VRING_CALL", PAYLOAD(STATE_BYTES) },
	[VHOST_USER_BACKEND_VRING_ERR] = { "BACKEND_VRING_ERR", PAYLOAD(STATE_BYTES) },
	[VHOST_USER_BACKEND_SHARED_OBJECT_ADD] = { "BACKEND_SHARED_OBJECT_ADD",
			PAYLOAD(sizeof(struct vhost_user_shared)) },
	[VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE] = { "BACKEND_SHARED_OBJECT_REMOVE",
			PAYLOAD(sizeof(struct vhost_user_shared)) },
	[VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP] = { "BACKEND_SHARED_OBJECT_LOOKUP",
			PAYLOAD(sizeof(struct vhost_user_shared)) },
	[VHOST_USER_BACKEND_SHMEM_MAP] = { "BACKEND_SHMEM_MAP",
			PAYLOAD(sizeof(struct vhost_user_mmap)), FDS(1, 1) },
	[VHOST_USER_BACKEND_SHMEM_UNMAP] = { "BACKEND_SHMEM_UNMAP",
			PAYLOAD(sizeof(struct vhost_user_mmap)) },
};

/** Of a header of version 2; what is not here is as in version 1. */
static const struct syntax dialect_requests[] = {
	[VHOST_USER_GET_CONN_ID] = { "GET_CONN_ID", NO_PAYLOAD },
	[VHOST_USER_SET_DEV_INFO] = { "SET_DEV_INFO", PAYLOAD(sizeof(struct vhost_user_dev_info)) },
	[VHOST_USER_SET_PEER_CONNECTION] = { "SET_PEER_CONNECTION", PAYLOAD(U64_BYTES) },
};

/** A reply of the front-end to the one request that the back-end has in version 2. */
static const struct syntax dialect_reply = { "reply", PAYLOAD(U64_BYTES) };

/** A reply of the front-end: a u64, and the object's fd after SHARED_OBJECT_LOOKUP. */
static const struct syntax backend_reply = { "reply", PAYLOAD(U64_BYTES), FDS(0, 1) };

/** A reply of the back-end: its size depends on the request and is for the receiver to check. */
static const struct syntax reply_any = { "reply",
	PAYLOAD_OF(0, sizeof(union vhost_user_payload), 1), FDS(0, VHOST_PCI_MSG_MAX_FDS) };

static const struct syntax *
find_syntax(uint32_t request, enum vhost_pci_msg_kind kind)
{
	const struct syntax *syntax = NULL;

	switch (kind) {
	case VHOST_PCI_MSG_DIALECT_REQUEST:
		if (request >= VHOST_USER_GET_CONN_ID && request <= VHOST_USER_SET_PEER_CONNECTION)
			return &dialect_requests[request];
		__attribute__((fallthrough));
	case VHOST_PCI_MSG_REQUEST:
		if (request < VHOST_USER_REQUEST_MAX)
			syntax = &requests[request];
		break;
	case VHOST_PCI_MSG_REPLY:
		return &reply_any;
	case VHOST_PCI_MSG_BACKEND_REQUEST:
		if (request < VHOST_USER_BACKEND_REQUEST_MAX)
			syntax = &backend_requests[request];
		break;
	case VHOST_PCI_MSG_BACKEND_REPLY:
		return &backend_reply;
	case VHOST_PCI_MSG_DIALECT_REPLY:
		syntax = request == VHOST_USER_SET_PEER_CONNECTION ? &dialect_reply : NULL;
		break;
	}
	return syntax != NULL && syntax->name != NULL ? syntax : NULL;
}

static int
check_size(const struct syntax *syntax, uint32_t size)
{
	if (size < syntax->min_bytes || size > syntax->max_bytes)
		return -EMSGSIZE;
	if (size > syntax->min_bytes && (size - syntax->min_bytes) % syntax->step != 0)
		return -EMSGSIZE;
	return 0;
}

int
vhost_pci_codec_check_header(const struct vhost_user_hdr *hdr, enum vhost_pci_msg_kind kind)
{
	bool is_reply = kind == VHOST_PCI_MSG_REPLY || kind == VHOST_PCI_MSG_BACKEND_REPLY ||
			kind == VHOST_PCI_MSG_DIALECT_REPLY;
	bool is_dialect = kind == VHOST_PCI_MSG_DIALECT_REQUEST ||
			kind == VHOST_PCI_MSG_DIALECT_REPLY;
	const struct syntax *syntax = find_syntax(hdr->request, kind);

	/* "Lower 2 bits are the version (currently 0x01)", and nothing else tells a dialect */
	if ((hdr->flags & VHOST_USER_VERSION_MASK) !=
			(is_dialect ? VHOST_USER_VERSION_2 : VHOST_USER_VERSION))
		return -EPROTONOSUPPORT;
	/* "Bit 2 is the reply flag - needs to be sent on each reply from the back-end" */
	if (((hdr->flags & VHOST_USER_REPLY) != 0) != is_reply)
		return -EPROTOTYPE;
	if (syntax == NULL)
		return hdr->size > sizeof(union vhost_user_payload) ? -EMSGSIZE : 0;
	return check_size(syntax, hdr->size);
}

int
vhost_pci_codec_check(const struct vhost_pci_msg *msg, enum vhost_pci_msg_kind kind)
{
	const struct syntax *syntax = find_syntax(msg->hdr.request, kind);
	int ret;

	ret = vhost_pci_codec_check_header(&msg->hdr, kind);
	if (ret < 0)
		return ret;
	if (syntax == NULL)
		return -EOPNOTSUPP;
	if (msg->nb_fds < syntax->min_fds)
		return -EBADF;
	if (msg->nb_fds > syntax->max_fds)
		return -E2BIG;
	return syntax->check != NULL ? syntax->check(msg) : 0;
}

enum vhost_pci_reply
vhost_pci_codec_reply(uint32_t request)
{
	const struct syntax *syntax = find_syntax(request, VHOST_PCI_MSG_REQUEST);

	return syntax != NULL ? (enum vhost_pci_reply)syntax->reply : VHOST_PCI_REPLY_ACK;
}

const char *
vhost_pci_codec_name(uint32_t request)
{
	const struct syntax *syntax = find_syntax(request, VHOST_PCI_MSG_REQUEST);

	return syntax != NULL ? syntax->name : "unknown";
}

void
vhost_pci_codec_make_reply(struct vhost_pci_msg *reply, uint32_t request, uint32_t size)
{
	reply->hdr.request = request;
	reply->hdr.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
	reply->hdr.size = size;
	reply->nb_fds = 0;
}

int
vhost_pci_msg_take_fd(struct vhost_pci_msg *msg, unsigned int index)
{
	int fd;

	if (index >= msg->nb_fds)
		return -1;
	fd = msg->fds[index];
	msg->fds[index] = -1;
	return fd;
}

void
vhost_pci_msg_close_fds(struct vhost_pci_msg *msg)
{
	unsigned int i;

	for (i = 0; i < msg->nb_fds; i++)
		vhost_pci_peer_fd_close(msg->fds[i]);
	msg->nb_fds = 0;
}
