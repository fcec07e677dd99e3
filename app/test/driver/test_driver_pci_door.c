/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* The end of the PCI front door while packets are still in the front-end's memory, which is behind
 * the device's BARs: what must stay mapped, and for how long. The device is a simulated one.
 */

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "driver_rig.h"
#include "test_util.h"
#include "transport_adapter_rig.h"
#include "vhost_pci_pci_door.h"

#define NAME "0000:00:04.0"

/* A door, made over the rig's device, and a mapping of the front-end's memory. */
struct door_rig {
	struct adp_rig *adp_rig;
	struct vhost_pci_pci_door *door;
	struct vhost_pci_mapping *mapping;
	void *own; /* What the door is to unmap. */
	size_t own_bytes;
};

static void
make_door(struct door_rig *rig, struct adp_rig *adp_rig)
{
	const struct vhost_pci_port_config config = { .max_queue_pairs = 1, .max_queue_size = 256 };
	const struct vhost_pci_pci_parts parts = { .name = NAME, .adp = adp_rig->adp };
	struct vhost_pci_transport *transport = adp_rig->transport;

	memset(rig, 0, sizeof(*rig));
	rig->adp_rig = adp_rig;
	assert_int_equal(transport->ops->map_region(transport, -1,
					 vhost_pci_adapter_bar_addr(2, ADP_RIG_WINDOW_OFF), 4096,
					 &rig->mapping),
			0);
	rig->own_bytes = (size_t)sysconf(_SC_PAGESIZE);
	rig->own = mmap(NULL, rig->own_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			-1, 0);
	assert_true(rig->own != MAP_FAILED);
	assert_int_equal(vhost_pci_pci_door_create(&parts, &config, &rig->door), 0);
	vhost_pci_pci_door_own(rig->door, rig->own, rig->own_bytes);
	/* As a port does that is closed. */
	vhost_pci_transport_close(transport);
	adp_rig->transport = NULL;
	adp_rig->adp = NULL;
}

static bool
is_mapped(const struct door_rig *rig)
{
	unsigned char vec;

	return mincore(rig->own, rig->own_bytes, &vec) == 0;
}

/* Nothing is in use: nothing is left behind. */
static void
test_unused(void **state)
{
	struct door_rig rig;

	make_door(&rig, *state);
	vhost_pci_mapping_put(rig.mapping);
	vhost_pci_pci_door_free(rig.door);
	assert_false(is_mapped(&rig));
	assert_int_equal(vhost_pci_pci_door_reap(NAME), 0);
}

/* What is in use stays mapped, whatever is detached, until it is in use no more. */
static void
test_in_use(void **state)
{
	struct door_rig rig;

	make_door(&rig, *state);
	vhost_pci_pci_door_free(rig.door);
	assert_true(is_mapped(&rig));
	assert_int_equal(vhost_pci_pci_door_reap("0000:00:05.0"), 0);
	assert_int_equal(vhost_pci_pci_door_reap(NAME), -EBUSY);
	assert_int_equal(vhost_pci_pci_door_reap(NAME), -EBUSY);
	assert_true(is_mapped(&rig));
	rig.mapping->va[4095] = 1;
	vhost_pci_mapping_put(rig.mapping);
	/* Who had it last knows of no door. */
	assert_true(is_mapped(&rig));
	assert_int_equal(vhost_pci_pci_door_reap(NAME), 0);
	assert_false(is_mapped(&rig));
	assert_int_equal(vhost_pci_pci_door_reap(NAME), 0);
}

static void *
put_main(void *arg)
{
	struct door_rig *rig = arg;

	vhost_pci_mapping_put(rig->mapping);
	return NULL;
}

/* Another thread frees the last packet while the detachment waits for it, or just before. */
static void
test_freed_meanwhile(void **state)
{
	struct door_rig rig;
	pthread_t thread;

	make_door(&rig, *state);
	vhost_pci_pci_door_free(rig.door);
	assert_int_equal(pthread_create(&thread, NULL, put_main, &rig), 0);
	rig_run_anywhere(thread);
	/* It waits for a second at a time, which may be too short where many want the processor. */
	while (vhost_pci_pci_door_reap(NAME) != 0)
		assert_true(is_mapped(&rig));
	assert_false(is_mapped(&rig));
	pthread_join(thread, NULL);
}

/* The rig counts fds, when EAL's interrupt thread is at rest. */
static int
setup(void **state)
{
	rig_nb_fds();
	return adp_rig_setup_connected(state);
}

#define DOOR_TEST(test) cmocka_unit_test_setup_teardown(test, setup, adp_rig_teardown)

static const struct CMUnitTest tests[] = {
	DOOR_TEST(test_unused),
	DOOR_TEST(test_in_use),
	DOOR_TEST(test_freed_meanwhile),
};

REGISTER_TEST_GROUP(driver_pci_door_autotest, tests, rig_group_setup, rig_group_teardown);
