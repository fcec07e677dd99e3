/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tfe_dev.h"

static int
check_conf(const struct tfe_dev_conf *conf)
{
	if (conf->nb_pairs == 0 || conf->nb_pairs > TFE_DEV_VRINGS / 2)
		return -EINVAL;
	if (conf->receiveq_size == 0 || conf->transmitq_size == 0)
		return -EINVAL;
	return 0;
}

int
tfe_dev_init(struct tfe_dev *dev, const struct tfe_dev_conf *conf)
{
	int ret;

	memset(dev, 0, sizeof(*dev));
	tfe_conn_init(&dev->conn);
	tfe_conn_init(&dev->channel);
	tfe_mem_init(&dev->mem);
	ret = check_conf(conf);
	if (ret < 0)
		return ret;
	dev->conf = *conf;
	dev->conn.timeout_ms = conf->timeout_ms;
	dev->channel.timeout_ms = conf->timeout_ms;
	if (conf->iommu) {
		dev->conf.required_features |= TFE_BIT(VIRTIO_F_ACCESS_PLATFORM);
		dev->conf.protocol_features |= TFE_BIT(TFE_VU_PROTOCOL_F_REPLY_ACK) |
				TFE_BIT(TFE_VU_PROTOCOL_F_BACKEND_REQ);
	}
	if (conf->mem_bytes == 0)
		return 0;
	ret = tfe_mem_create(&dev->mem, conf->mem_bytes, conf->mem_flags);
	dev->mem.iommu = conf->iommu;
	return ret;
}

int
tfe_dev_connect(struct tfe_dev *dev)
{
	const struct tfe_dev_conf *conf = &dev->conf;
	int ret;

	if (conf->path == NULL)
		return dev->conn.fd >= 0 ? 0 : -ENOTCONN;
	if (conf->role == TFE_ROLE_CLIENT)
		return tfe_conn_connect(&dev->conn, conf->path, conf->timeout_ms);
	if (dev->conn.listen_fd < 0) {
		ret = tfe_conn_listen(&dev->conn, conf->path);
		if (ret < 0)
			return ret;
	}
	return tfe_conn_accept(&dev->conn, conf->timeout_ms);
}

static int
negotiate_protocol(struct tfe_dev *dev)
{
	struct tfe_conn *conn = &dev->conn;
	int ret;

	ret = tfe_req_get_protocol_features(conn, &dev->protocol_offered);
	if (ret < 0)
		return ret;
	dev->protocol_features = dev->conf.protocol_features & dev->protocol_offered;
	ret = tfe_req_set_protocol_features(conn, dev->protocol_features);
	if (ret < 0)
		return ret;
	conn->need_reply = dev->conf.need_reply &&
			tfe_dev_has_protocol(dev, TFE_VU_PROTOCOL_F_REPLY_ACK);
	if (!tfe_dev_has_protocol(dev, TFE_VU_PROTOCOL_F_MQ))
		return 0;
	return tfe_req_get_queue_num(conn, &dev->max_pairs);
}

static int
set_status(struct tfe_dev *dev, uint64_t status)
{
	if (!tfe_dev_has_protocol(dev, TFE_VU_PROTOCOL_F_STATUS))
		return 0;
	return tfe_req_set_status(&dev->conn, status);
}

/* VIRTIO 3.1.1 step 6: the device may not take the features. */
static int
features_ok(struct tfe_dev *dev)
{
	uint64_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			VIRTIO_CONFIG_S_FEATURES_OK;
	int ret;

	if (!tfe_dev_has_protocol(dev, TFE_VU_PROTOCOL_F_STATUS))
		return 0;
	ret = tfe_req_set_status(&dev->conn, status);
	if (ret == 0)
		ret = tfe_req_get_status(&dev->conn, &status);
	if (ret == 0 && !(status & VIRTIO_CONFIG_S_FEATURES_OK))
		ret = -ENOTSUP;
	return ret;
}

static int
choose_features(struct tfe_dev *dev)
{
	uint64_t wanted = dev->conf.features | dev->conf.required_features;
	int ret;

	ret = tfe_req_get_features(&dev->conn, &dev->offered);
	if (ret < 0)
		return ret;
	if (dev->conf.nb_pairs > 1)
		wanted |= TFE_BIT(VIRTIO_NET_F_MQ) | TFE_BIT(VIRTIO_NET_F_CTRL_VQ);
	dev->features = wanted & dev->offered;
	if (dev->conf.required_features & ~dev->offered)
		return -ENOTSUP;
	dev->hdr_bytes = sizeof(struct virtio_net_hdr_v1);
	if (!tfe_dev_has(dev, VIRTIO_F_VERSION_1) && !tfe_dev_has(dev, VIRTIO_NET_F_MRG_RXBUF))
		dev->hdr_bytes = sizeof(struct virtio_net_hdr);
	return 0;
}

int
tfe_dev_negotiate(struct tfe_dev *dev)
{
	int ret;

	/* REPLY_ACK is not there yet. */
	dev->conn.need_reply = false;
	dev->protocol_features = 0;
	dev->protocol_offered = 0;
	dev->max_pairs = 1;
	ret = tfe_req_set_owner(&dev->conn);
	if (ret == 0)
		ret = choose_features(dev);
	if (ret == 0 && tfe_dev_has(dev, TFE_VHOST_USER_F_PROTOCOL_FEATURES))
		ret = negotiate_protocol(dev);
	if (ret == 0 && dev->conf.nb_pairs > dev->max_pairs)
		ret = -ERANGE;
	if (ret == 0)
		ret = set_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	if (ret == 0)
		ret = tfe_req_set_features(&dev->conn, dev->features);
	if (ret == 0)
		ret = features_ok(dev);
	if (ret == 0 && dev->conf.iommu) {
		tfe_conn_disconnect(&dev->channel);
		ret = tfe_conn_open_channel(&dev->conn, &dev->channel);
	}
	return ret;
}

static int
make_ring(struct tfe_dev *dev, unsigned int index)
{
	struct tfe_ring_conf conf = {
		.index = index,
		.size = index % 2 == 0 ? dev->conf.receiveq_size : dev->conf.transmitq_size,
		.features = dev->features,
		.polling = dev->conf.polling,
	};

	return tfe_ring_init(&dev->rings[index], &dev->mem, &conf);
}

int
tfe_dev_make_rings(struct tfe_dev *dev)
{
	unsigned int nb_rings = 2 * dev->conf.nb_pairs;
	int ret;

	if (dev->rings != NULL) {
		for (unsigned int i = 0; i < dev->nb_rings; i++)
			tfe_ring_reset(&dev->rings[i]);
		return 0;
	}
	dev->rings = calloc(nb_rings, sizeof(dev->rings[0]));
	if (dev->rings == NULL)
		return -ENOMEM;
	while (dev->nb_rings < nb_rings) {
		ret = make_ring(dev, dev->nb_rings);
		if (ret < 0)
			return ret;
		dev->nb_rings++;
	}
	return 0;
}

int
tfe_dev_send_mem(struct tfe_dev *dev)
{
	if (dev->conf.mem_slots)
		return tfe_mem_send_slots(&dev->mem, &dev->conn);
	return tfe_mem_send_table(&dev->mem, &dev->conn);
}

int
tfe_dev_start_rings(struct tfe_dev *dev)
{
	for (unsigned int i = 0; i < dev->nb_rings; i++) {
		int ret = tfe_ring_send_setup(&dev->rings[i], &dev->conn);

		if (ret < 0)
			return ret;
	}
	return 0;
}

int
tfe_dev_enable(struct tfe_dev *dev, bool enable)
{
	if (!tfe_dev_has(dev, TFE_VHOST_USER_F_PROTOCOL_FEATURES))
		return 0;
	for (unsigned int i = 0; i < dev->nb_rings; i++) {
		int ret = tfe_req_set_vring_enable(&dev->conn, i, enable);

		if (ret < 0)
			return ret;
	}
	return 0;
}

int
tfe_dev_driver_ok(struct tfe_dev *dev)
{
	return set_status(dev,
			VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* All of a session once memory is there. */
static int
run_session(struct tfe_dev *dev)
{
	int ret;

	ret = tfe_dev_connect(dev);
	if (ret == 0)
		ret = tfe_dev_negotiate(dev);
	if (ret == 0)
		ret = tfe_dev_make_rings(dev);
	if (ret == 0)
		ret = tfe_dev_send_mem(dev);
	if (ret == 0)
		ret = tfe_dev_start_rings(dev);
	if (ret == 0)
		ret = tfe_dev_enable(dev, true);
	if (ret == 0)
		ret = tfe_dev_driver_ok(dev);
	return ret;
}

int
tfe_dev_open(struct tfe_dev *dev, const struct tfe_dev_conf *conf)
{
	int ret;

	ret = tfe_dev_init(dev, conf);
	if (ret == 0)
		ret = run_session(dev);
	if (ret < 0)
		tfe_dev_close(dev);
	return ret;
}

void
tfe_dev_close(struct tfe_dev *dev)
{
	tfe_conn_close(&dev->conn);
	tfe_conn_close(&dev->channel);
	for (unsigned int i = 0; i < dev->nb_rings; i++)
		tfe_ring_fini(&dev->rings[i]);
	free(dev->rings);
	dev->rings = NULL;
	dev->nb_rings = 0;
	tfe_mem_destroy(&dev->mem);
}

/* The back-end has drained the ring, so it stopped where its used entries end. */
static int
check_base(struct tfe_ring *ring)
{
	uint32_t slot = ring->base & 0x7fff;

	if (ring->packed && slot < ring->size)
		return 0;
	if (!ring->packed && ring->base == __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE))
		return 0;
	ring->error = "the ring can't have stopped at this base";
	return -EPROTO;
}

int
tfe_dev_stop(struct tfe_dev *dev)
{
	for (unsigned int i = 0; i < dev->nb_rings; i++) {
		struct tfe_ring *ring = &dev->rings[i];
		int ret = tfe_req_get_vring_base(&dev->conn, i, &ring->base);

		if (ret == 0)
			ret = check_base(ring);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int
tfe_dev_start(struct tfe_dev *dev)
{
	int ret;

	ret = tfe_dev_start_rings(dev);
	if (ret == 0)
		ret = tfe_dev_enable(dev, true);
	/* What was made available meanwhile was not told to this back-end. */
	for (unsigned int i = 0; i < dev->nb_rings && ret == 0; i++)
		if (dev->rings[i].nb_outstanding > 0)
			ret = tfe_ring_kick(&dev->rings[i]);
	return ret;
}

void
tfe_dev_disconnect(struct tfe_dev *dev)
{
	tfe_conn_disconnect(&dev->conn);
}

int
tfe_dev_reconnect(struct tfe_dev *dev)
{
	tfe_dev_disconnect(dev);
	return run_session(dev);
}
