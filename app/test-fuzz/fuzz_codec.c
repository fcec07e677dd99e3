/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The codec: a number of fds, a kind, and a message as it came. */

#include "fuzz.h"
#include "vhost_pci_codec.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nb_bytes)
{
	struct fuzz_input input = { bytes, nb_bytes };
	struct vhost_pci_msg msg = { .nb_fds = fuzz_u8(&input) % (VHOST_PCI_MSG_MAX_FDS + 1) };
	enum vhost_pci_msg_kind kind = fuzz_u8(&input) % (VHOST_PCI_MSG_DIALECT_REPLY + 1);
	struct vhost_pci_msg reply;
	int ret;

	memset(msg.fds, -1, sizeof(msg.fds));
	fuzz_take(&input, &msg.hdr, sizeof(msg.hdr));
	fuzz_take(&input, &msg.payload, sizeof(msg.payload));
	ret = vhost_pci_codec_check_header(&msg.hdr, kind);
	/* What would not be read is not looked at. */
	if (ret == 0) {
		fuzz_check(msg.hdr.size <= sizeof(msg.payload));
		ret = vhost_pci_codec_check(&msg, kind);
	} else {
		fuzz_check(vhost_pci_codec_check(&msg, kind) < 0);
	}
	fuzz_check(ret <= 0);
	fuzz_check(vhost_pci_codec_name(msg.hdr.request) != NULL);
	vhost_pci_codec_make_reply(&reply, msg.hdr.request, sizeof(reply.payload.u64));
	fuzz_check(vhost_pci_codec_reply(msg.hdr.request) <= VHOST_PCI_REPLY_CODE);
	return 0;
}
