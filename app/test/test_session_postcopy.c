/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

/* POSTCOPY_ADVISE, LISTEN and END: memory whose pages come when they are touched. The front-end's
 * part is a thread of the test, which reads of faults, writes the page and wakes who waits.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <sys/ioctl.h>

#include <linux/userfaultfd.h>

#include "session_peer.h"
#include "test.h"
#include "test_util.h"

#define PAGE_BYTES 4096u
#define NB_PAGES   ((unsigned int)(PEER_BYTES / PAGE_BYTES))

/** Time for what happens at once, in ms. */
#define SOON_MS 60000

/** A front-end whose guest is on its way. */
struct traveller {
	struct session_peer *peer;
	int uffd;
	uint64_t base; /**< Of the region, in the back-end. */

	pthread_t server;
	int stop_fd;
	unsigned int nb_faults;
};

/** What a page has once it has come. */
static uint8_t
page_content(unsigned int page)
{
	return (uint8_t)(page % 251 + 1);
}

static void
serve_fault(struct traveller *traveller, uint64_t address)
{
	uint64_t offset = (address - traveller->base) / PAGE_BYTES * PAGE_BYTES;
	struct uffdio_range page = { .start = traveller->base + offset, .len = PAGE_BYTES };

	assert_true(offset < PEER_BYTES);
	memset(traveller->peer->memory + offset, page_content((unsigned int)(offset / PAGE_BYTES)),
			PAGE_BYTES);
	traveller->nb_faults++;
	assert_int_equal(ioctl(traveller->uffd, UFFDIO_WAKE, &page), 0);
}

static void *
serve(void *opaque)
{
	struct traveller *traveller = opaque;
	struct pollfd fds[] = {
		{ .fd = traveller->uffd, .events = POLLIN },
		{ .fd = traveller->stop_fd, .events = POLLIN },
	};
	struct uffd_msg event;

	while (poll(fds, 2, -1) > 0 && fds[1].revents == 0) {
		if (read(traveller->uffd, &event, sizeof(event)) != sizeof(event))
			continue;
		assert_int_equal(event.event, UFFD_EVENT_PAGEFAULT);
		serve_fault(traveller, event.arg.pagefault.address);
	}
	return NULL;
}

static void
start_server(struct traveller *traveller)
{
	traveller->stop_fd = test_eventfd();
	assert_int_equal(pthread_create(&traveller->server, NULL, serve, traveller), 0);
}

static void
stop_server(struct traveller *traveller)
{
	uint64_t one = 1;

	assert_int_equal(write(traveller->stop_fd, &one, sizeof(one)), sizeof(one));
	pthread_join(traveller->server, NULL);
	close(traveller->stop_fd);
}

static int
setup(void **state)
{
	struct vhost_pci_faults *faults;
	int ret;

	/* Not everywhere may programs have one. */
	ret = vhost_pci_faults_open(-1, &faults);
	if (ret == -EPERM || ret == -ENOTSUP) {
		*state = NULL;
		return 0;
	}
	assert_int_equal(ret, 0);
	vhost_pci_faults_close(faults);
	peer_setup(state);
	return 0;
}

static int
teardown(void **state)
{
	return *state == NULL ? 0 : peer_teardown(state);
}

/** The front-end, with all that the two agree on. */
static struct session_peer *
begin(void **state)
{
	struct session_peer *peer = *state;

	if (peer == NULL)
		skip();
	assert_int_equal(peer_send_none(peer, VHOST_USER_SET_OWNER), 0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_PROTOCOL_FEATURES,
					 PEER_PROTOCOL_TAKEN | VHOST_USER_PROTOCOL_MASK(PAGEFAULT)),
			0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_FEATURES,
					 PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1),
			0);
	return peer;
}

/** POSTCOPY_ADVISE; the fd of the answer. */
static int
advise(struct session_peer *peer)
{
	assert_int_equal(peer_send_none(peer, VHOST_USER_POSTCOPY_ADVISE), 1);
	assert_int_equal(peer->reply.hdr.size, 0);
	return peer->reply.fds[0];
}

/** POSTCOPY_ADVISE and LISTEN. */
static struct traveller
listen_for(struct session_peer *peer)
{
	struct traveller traveller = { .peer = peer, .uffd = advise(peer) };

	assert_int_equal(peer_send_none(peer, VHOST_USER_POSTCOPY_LISTEN), 0);
	return traveller;
}

static int
send_region_ack(struct session_peer *peer, uint64_t value)
{
	return peer_send_u64(peer, VHOST_USER_ADD_MEM_REG, value);
}

/** ADD_MEM_REG of the one region, and the acknowledgement. */
static void
add_memory(struct traveller *traveller)
{
	struct session_peer *peer = traveller->peer;
	struct vhost_user_mem_region region = peer_region();

	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), 1);
	traveller->base = peer->reply.payload.single_region.region.uva;
	assert_int_equal(send_region_ack(peer, 0), 0);
}

/** Where a page of the front-end's memory begins. */
static const volatile uint8_t *
page_va(struct session_peer *peer, unsigned int page)
{
	const struct vhost_pci_mem *mem = vhost_pci_session_mem(peer->session);
	const volatile uint8_t *va = vhost_pci_mem_uva_to_va(mem,
			PEER_UVA + (uint64_t)page * PAGE_BYTES, 1);

	assert_non_null(va);
	return va;
}

/** Its first byte, which may have to come first. */
static uint8_t
load_byte(struct session_peer *peer, unsigned int page)
{
	return *page_va(peer, page);
}

/** A thread that wants a page, and looks at no table, for that is control's. */
struct reader {
	const volatile uint8_t *va;
	pthread_t thread;
	uint8_t value;
};

static void *
read_page(void *opaque)
{
	struct reader *reader = opaque;

	reader->value = *reader->va;
	return NULL;
}

/** Have a thread wait for a page that nobody sends. */
static void
start_reader(struct reader *reader, const struct traveller *traveller)
{
	struct pollfd fault = { .fd = traveller->uffd, .events = POLLIN };

	reader->va = page_va(traveller->peer, 7);
	reader->value = 0xff;
	assert_int_equal(pthread_create(&reader->thread, NULL, read_page, reader), 0);
	assert_int_equal(poll(&fault, 1, SOON_MS), 1);
}

/** It goes on, with zeros. */
static void
join_reader(struct reader *reader)
{
	pthread_join(reader->thread, NULL);
	assert_int_equal(reader->value, 0);
}

static void
test_messages_need_the_feature(void **state)
{
	static const uint32_t requests[] = { VHOST_USER_POSTCOPY_ADVISE, VHOST_USER_POSTCOPY_LISTEN,
		VHOST_USER_POSTCOPY_END };
	struct session_peer *peer = *state;
	size_t i;

	if (peer == NULL)
		skip();
	peer_negotiate(peer, PEER_F_PROTOCOL | UINT64_C(1) << VIRTIO_F_VERSION_1);
	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		assert_int_equal(peer_send_none(peer, requests[i]), -EPROTO);
}

static void
test_advise_is_answered_by_a_userfaultfd(void **state)
{
	struct uffdio_range none = { .start = 0, .len = PAGE_BYTES };
	int fd = advise(begin(state));

	/* The back-end has introduced itself to the kernel, or this would be another error. */
	assert_int_equal(ioctl(fd, UFFDIO_WAKE, &none), 0);
	close(fd);
}

static void
test_advise_may_come_for_each_queue_pair(void **state)
{
	struct session_peer *peer = begin(state);
	struct traveller traveller;
	struct reader reader;
	int first = advise(peer);

	/* What is registered later is known to the fd that came first. */
	traveller = listen_for(peer);
	close(traveller.uffd);
	traveller.uffd = first;
	assert_int_equal(peer_send_none(peer, VHOST_USER_POSTCOPY_LISTEN), 0);
	add_memory(&traveller);
	start_reader(&reader, &traveller);
	assert_int_equal(peer_send_none(peer, VHOST_USER_POSTCOPY_END), 1);
	join_reader(&reader);
	close(first);
}

static void
test_listen_needs_advise(void **state)
{
	struct session_peer *peer = begin(state);

	assert_int_equal(peer_send_none(peer, VHOST_USER_POSTCOPY_LISTEN), -EINVAL);
}

static void
test_listen_is_refused_with_memory(void **state)
{
	struct session_peer *peer = begin(state);
	int fd = advise(peer);

	assert_int_equal(peer_send_mem_table(peer), 0);
	assert_int_equal(peer_send_none(peer, VHOST_USER_POSTCOPY_LISTEN), -EBUSY);
	close(fd);
}

static void
test_a_table_waits_for_its_acknowledgement(void **state)
{
	struct session_peer *peer = begin(state);
	struct traveller traveller = listen_for(peer);
	const struct vhost_user_mem_table *table = &peer->reply.payload.mem_table;
	const struct vhost_pci_mem *mem;

	assert_int_equal(peer_send_mem_table(peer), 1);
	assert_int_equal(peer->reply.hdr.size, offsetof(struct vhost_user_mem_table, region[1]));
	assert_int_equal(table->nb_regions, 1);
	assert_int_equal(table->region[0].gpa, PEER_GPA);
	assert_int_equal(table->region[0].size, PEER_BYTES);
	traveller.base = table->region[0].uva;
	assert_null(vhost_pci_session_mem(peer->session));

	assert_int_equal(peer_send_u64(peer, VHOST_USER_SET_MEM_TABLE, 0), 0);
	mem = vhost_pci_session_mem(peer->session);
	assert_non_null(mem);
	assert_int_equal((uintptr_t)mem->region[0].va, traveller.base);
	close(traveller.uffd);
}

static void
test_regions_wait_for_one_acknowledgement(void **state)
{
	struct session_peer *peer = begin(state);
	struct traveller traveller = listen_for(peer);
	struct vhost_user_mem_region low = peer_region(), high = peer_region();

	low.size = PEER_BYTES / 2;
	high.size = PEER_BYTES / 2;
	high.gpa += PEER_BYTES / 2;
	high.uva += PEER_BYTES / 2;
	high.mmap_offset += PEER_BYTES / 2;
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &low), 1);
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &high), 1);
	assert_int_equal(peer->reply.payload.single_region.region.gpa, high.gpa);
	assert_null(vhost_pci_session_mem(peer->session));
	assert_int_equal(send_region_ack(peer, 0), 0);
	assert_int_equal(vhost_pci_session_mem(peer->session)->nb_regions, 2);

	/* As for another queue pair: the same base, and an acknowledgement of nothing new. */
	traveller.base = peer->reply.payload.single_region.region.uva;
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &high), 1);
	assert_int_equal(peer->reply.payload.single_region.region.uva,
			(uintptr_t)vhost_pci_session_mem(peer->session)->region[1].va);
	assert_int_equal(send_region_ack(peer, 0), 0);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &high), 0);
	assert_int_equal(peer_send_region(peer, VHOST_USER_REM_MEM_REG, &high), 0);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_REM_MEM_REG, 0), 0);
	assert_int_equal(vhost_pci_session_mem(peer->session)->nb_regions, 1);
	close(traveller.uffd);
}

static void
test_an_acknowledgement_may_say_no(void **state)
{
	struct session_peer *peer = begin(state);
	struct traveller traveller = listen_for(peer);
	struct vhost_user_mem_region region = peer_region();

	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), 1);
	assert_int_equal(send_region_ack(peer, 1), -EINVAL);
	assert_null(vhost_pci_session_mem(peer->session));
	close(traveller.uffd);
}

static void
test_no_acknowledgement_without_listen(void **state)
{
	struct session_peer *peer = begin(state);

	assert_int_equal(send_region_ack(peer, 0), -EMSGSIZE);
	assert_int_equal(peer_send_u64(peer, VHOST_USER_REM_MEM_REG, 0), -EMSGSIZE);
	close(advise(peer));
	assert_int_equal(send_region_ack(peer, 0), -EMSGSIZE);
}

static void
test_pages_come_when_they_are_touched(void **state)
{
	struct session_peer *peer = begin(state);
	struct traveller traveller = listen_for(peer);
	unsigned int page;

	add_memory(&traveller);
	/* One that is there raises no fault. */
	memset(peer->memory, 0xa5, PAGE_BYTES);
	start_server(&traveller);
	assert_int_equal(load_byte(peer, 0), 0xa5);
	for (page = NB_PAGES - 1; page > 0; page--)
		assert_int_equal(load_byte(peer, page), page_content(page));
	stop_server(&traveller);
	assert_int_equal(traveller.nb_faults, NB_PAGES - 1);
	close(traveller.uffd);
}

static void
test_rings_start_in_memory_that_is_not_there_yet(void **state)
{
	struct session_peer *peer = begin(state);
	struct traveller traveller = listen_for(peer);

	add_memory(&traveller);
	start_server(&traveller);
	peer_start_ring(peer, 0);
	peer_start_ring(peer, 1);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(peer_send_state(peer, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_true(peer->ready);
	stop_server(&traveller);
	close(traveller.uffd);
}

static void
test_the_end_lets_faults_go(void **state)
{
	struct session_peer *peer = begin(state);
	struct traveller traveller = listen_for(peer);
	struct reader reader;

	add_memory(&traveller);
	start_reader(&reader, &traveller);
	/* "The value returned is an error indication; 0 is success" */
	assert_int_equal(peer_send_none(peer, VHOST_USER_POSTCOPY_END), 1);
	assert_int_equal(peer->reply.payload.u64, 0);
	join_reader(&reader);
	assert_int_equal(load_byte(peer, 9), 0);
	/* Once per queue pair, too. */
	assert_int_equal(peer_send_none(peer, VHOST_USER_POSTCOPY_END), 1);
	/* Memory is again in force when it comes. */
	assert_int_equal(peer_send_mem_table(peer), 0);
	close(traveller.uffd);
}

static void
test_a_lost_front_end_lets_faults_go(void **state)
{
	struct session_peer *peer = begin(state);
	struct traveller traveller = listen_for(peer);
	struct vhost_pci_mapping *mapping;
	struct reader reader;

	add_memory(&traveller);
	/* No ring, which would be waited for: it has the memory as a lent packet has. */
	mapping = vhost_pci_mapping_get(vhost_pci_session_mem(peer->session)->region[0].mapping);
	start_reader(&reader, &traveller);
	vhost_pci_session_reset(peer->session);
	join_reader(&reader);
	vhost_pci_mapping_put(mapping);
	close(traveller.uffd);
}

static void
test_a_closed_connection_lets_faults_go(void **state)
{
	struct session_peer *peer = begin(state);
	struct traveller traveller = listen_for(peer);
	struct vhost_user_mem_region region = peer_region();
	struct reader reader;

	add_memory(&traveller);
	start_reader(&reader, &traveller);
	/* Nobody calls the session: its thread may be the one that waits. */
	close(peer->connection[1]);
	peer->connection[1] = -1;
	join_reader(&reader);
	region.gpa += PEER_BYTES;
	region.uva += PEER_BYTES;
	assert_int_equal(peer_send_region(peer, VHOST_USER_ADD_MEM_REG, &region), -ECONNRESET);
	close(traveller.uffd);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(test_messages_need_the_feature, setup, teardown),
	cmocka_unit_test_setup_teardown(test_advise_is_answered_by_a_userfaultfd, setup, teardown),
	cmocka_unit_test_setup_teardown(test_advise_may_come_for_each_queue_pair, setup, teardown),
	cmocka_unit_test_setup_teardown(test_listen_needs_advise, setup, teardown),
	cmocka_unit_test_setup_teardown(test_listen_is_refused_with_memory, setup, teardown),
	cmocka_unit_test_setup_teardown(test_a_table_waits_for_its_acknowledgement, setup,
			teardown),
	cmocka_unit_test_setup_teardown(test_regions_wait_for_one_acknowledgement, setup, teardown),
	cmocka_unit_test_setup_teardown(test_an_acknowledgement_may_say_no, setup, teardown),
	cmocka_unit_test_setup_teardown(test_no_acknowledgement_without_listen, setup, teardown),
	cmocka_unit_test_setup_teardown(test_pages_come_when_they_are_touched, setup, teardown),
	cmocka_unit_test_setup_teardown(test_rings_start_in_memory_that_is_not_there_yet, setup,
			teardown),
	cmocka_unit_test_setup_teardown(test_the_end_lets_faults_go, setup, teardown),
	cmocka_unit_test_setup_teardown(test_a_lost_front_end_lets_faults_go, setup, teardown),
	cmocka_unit_test_setup_teardown(test_a_closed_connection_lets_faults_go, setup, teardown),
};
REGISTER_TEST_GROUP(session_postcopy_autotest, tests, NULL, NULL);
