/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The vhost-pci authors
 */

#include <string.h>

#include "plug.h"
#include "qmp.h"
#include "vhost_pci_log.h"

/** Where an adapter is on its way into its machine and out of it. */
enum plug_state {
	PLUG_WAITING, /**< for QMP or a bus */
	PLUG_ADDING,  /**< device_add was sent */
	PLUG_ASKING,  /**< what has its id in the machine already was asked */
	PLUG_STALE,   /**< device_del was sent, for what an earlier daemon has left */
	PLUG_PLUGGED,
	PLUG_FAILED,   /**< device_add was refused */
	PLUG_REMOVING, /**< device_del was sent */
};

/** An adapter. */
struct plug_device {
	char *id;
	char *path;
	const char *bus; /**< one of the plug's, taken; or NULL */
	enum plug_state state;
	bool is_unwanted; /**< to be unplugged */
	bool is_gone;     /**< the adapter does not exist any more */
	bool is_attached; /**< its machine is connected to it */
};

struct plug {
	struct qmp *qmp; /**< or NULL */
	char **buses;    /**< or NULL */
	GPtrArray *devices;
};

static void
plug_device_free(gpointer data)
{
	struct plug_device *device = data;

	g_free(device->id);
	g_free(device->path);
	g_free(device);
}

static struct plug_device *
plug_find(const struct plug *plug, const char *id)
{
	for (unsigned int i = 0; i < plug->devices->len; i++) {
		struct plug_device *device = g_ptr_array_index(plug->devices, i);

		if (strcmp(device->id, id) == 0)
			return device;
	}
	return NULL;
}

static bool
plug_bus_is_free(const struct plug *plug, const char *bus)
{
	for (unsigned int i = 0; i < plug->devices->len; i++) {
		const struct plug_device *device = g_ptr_array_index(plug->devices, i);

		if (device->bus == bus)
			return false;
	}
	return true;
}

/* Take a bus; false if there are some and none is free. */
static bool
plug_take_bus(struct plug *plug, struct plug_device *device)
{
	if (plug->buses == NULL || plug->buses[0] == NULL)
		return true;
	for (char **bus = plug->buses; *bus != NULL; bus++) {
		if (plug_bus_is_free(plug, *bus)) {
			device->bus = *bus;
			return true;
		}
	}
	return false;
}

/* The arguments of device_add. */
static JsonObject *
plug_arguments(const struct plug_device *device)
{
	JsonObject *arguments = json_object_new(), *address = json_object_new();

	json_object_set_string_member(arguments, "driver", "vfio-user-pci");
	json_object_set_string_member(arguments, "id", device->id);
	if (device->bus != NULL)
		json_object_set_string_member(arguments, "bus", device->bus);
	json_object_set_string_member(address, "type", "unix");
	json_object_set_string_member(address, "path", device->path);
	json_object_set_object_member(arguments, "socket", address);
	return arguments;
}

static void
plug_remove(struct plug *plug, struct plug_device *device)
{
	JsonObject *arguments = json_object_new();

	json_object_set_string_member(arguments, "id", device->id);
	device->state = PLUG_REMOVING;
	qmp_send(plug->qmp, "device_del", arguments, device->id);
}

/* Do for each device what can be done now. */
static void
plug_pump(struct plug *plug)
{
	if (plug->qmp == NULL || !qmp_is_ready(plug->qmp))
		return;
	for (unsigned int i = 0; i < plug->devices->len; i++) {
		struct plug_device *device = g_ptr_array_index(plug->devices, i);

		if (device->state == PLUG_PLUGGED && device->is_unwanted) {
			plug_remove(plug, device);
		} else if (device->state == PLUG_WAITING && !device->is_unwanted &&
				!device->is_gone && plug_take_bus(plug, device)) {
			device->state = PLUG_ADDING;
			qmp_send(plug->qmp, "device_add", plug_arguments(device), device->id);
		}
	}
}

/* Ask what it is that has the id of a device. */
static void
plug_ask(struct plug *plug, struct plug_device *device)
{
	g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", device->id);
	JsonObject *arguments = json_object_new();

	json_object_set_string_member(arguments, "path", path);
	json_object_set_string_member(arguments, "property", "type");
	device->state = PLUG_ASKING;
	qmp_send(plug->qmp, "qom-get", arguments, device->id);
}

/* Forget a device that neither the machine nor the daemon has. */
static void
plug_forget(struct plug *plug, struct plug_device *device)
{
	device->bus = NULL;
	if (device->is_gone)
		g_ptr_array_remove(plug->devices, device);
	plug_pump(plug);
}

static void
plug_qmp_ready(void *opaque, bool ready)
{
	struct plug *plug = opaque;

	/* another machine may answer next time: it has none of the devices, but those it uses */
	for (unsigned int i = plug->devices->len; !ready && i-- > 0;) {
		struct plug_device *device = g_ptr_array_index(plug->devices, i);

		if (device->is_attached) {
			device->state = PLUG_PLUGGED;
			continue;
		}
		device->state = PLUG_WAITING;
		plug_forget(plug, device);
	}
	plug_pump(plug);
}

static void
plug_qmp_event(void *opaque, const char *name, JsonObject *data)
{
	struct plug *plug = opaque;
	struct plug_device *device;
	const char *id;

	if (strcmp(name, "DEVICE_DELETED") != 0 || data == NULL)
		return;
	id = json_object_get_string_member_with_default(data, "device", NULL);
	device = id != NULL ? plug_find(plug, id) : NULL;
	if (device == NULL)
		return;
	vhost_pci_log(VHOST_PCI_LOG_NOTICE, "%s: unplugged", id);
	if (device->state == PLUG_STALE || device->state == PLUG_ASKING) {
		device->state = PLUG_WAITING;
		plug_forget(plug, device);
		return;
	}
	/* an adapter that is wanted still was unplugged by somebody else: leave it at that */
	device->state = PLUG_FAILED;
	plug_forget(plug, device);
}

static void
plug_failed(struct plug *plug, struct plug_device *device, const char *error)
{
	vhost_pci_log(VHOST_PCI_LOG_ERR, "%s: can't be plugged: %s", device->id, error);
	device->state = PLUG_FAILED;
	plug_forget(plug, device);
}

/* The answer to device_add. */
static void
plug_added(struct plug *plug, struct plug_device *device, const char *error)
{
	/* its own, whose answer was lost with a connection; or somebody else's */
	if (error != NULL && strstr(error, "Duplicate device ID") != NULL) {
		if (!device->is_attached) {
			plug_ask(plug, device);
			return;
		}
		error = NULL;
	}
	if (error == NULL) {
		vhost_pci_log(VHOST_PCI_LOG_NOTICE, "%s: plugged%s%s", device->id,
				device->bus != NULL ? " into " : "",
				device->bus != NULL ? device->bus : "");
		device->state = PLUG_PLUGGED;
		plug_pump(plug);
	} else {
		plug_failed(plug, device, error);
	}
}

/*
 * The answer to what it is that has the id. QEMU never connects again to an adapter that it has
 * lost: what an earlier daemon has left is of no use to anybody. Any other device is not ours.
 */
static void
plug_asked(struct plug *plug, struct plug_device *device, const char *error, const char *type)
{
	if (error != NULL) {
		/* it went meanwhile */
		device->state = PLUG_WAITING;
		plug_forget(plug, device);
	} else if (g_strcmp0(type, "vfio-user-pci") != 0) {
		plug_failed(plug, device,
				"its machine has another device of this name: name the endpoint "
				"otherwise");
	} else {
		vhost_pci_log(VHOST_PCI_LOG_NOTICE,
				"%s: its machine has a device that an earlier daemon has left: "
				"unplugging it first",
				device->id);
		plug_remove(plug, device);
		device->state = PLUG_STALE;
	}
}

static void
plug_qmp_answer(void *opaque, const char *tag, const char *error, const char *result)
{
	struct plug *plug = opaque;
	struct plug_device *device = plug_find(plug, tag);

	if (device == NULL)
		return;
	if (device->state == PLUG_ADDING) {
		plug_added(plug, device, error);
	} else if (device->state == PLUG_ASKING) {
		plug_asked(plug, device, error, result);
	} else if (device->state == PLUG_STALE && error != NULL) {
		plug_failed(plug, device, error);
	} else if (device->state == PLUG_REMOVING && error != NULL) {
		vhost_pci_log(VHOST_PCI_LOG_WARNING, "%s: can't be unplugged: %s", device->id,
				error);
		/* "not found": somebody else was faster */
		if (strstr(error, "not found") != NULL)
			plug_forget(plug, device);
	}
}

static const struct qmp_ops plug_qmp_ops = {
	.ready = plug_qmp_ready,
	.event = plug_qmp_event,
	.answer = plug_qmp_answer,
};

/* Without QMP: say what to type. */
static void
plug_tell(const struct plug_device *device)
{
	g_autoptr(JsonNode) node = json_node_alloc();
	JsonObject *arguments = plug_arguments(device);
	g_autofree char *text = NULL;

	json_node_init_object(node, arguments);
	json_object_unref(arguments);
	text = json_to_string(node, FALSE);
	vhost_pci_log(VHOST_PCI_LOG_NOTICE,
			"%s: ready; start its machine with: -device '%s' or plug it by QMP: "
			"{\"execute\":\"device_add\",\"arguments\":%s}",
			device->id, text, text);
}

static void
plug_plug(void *opaque, const char *id, const char *path)
{
	struct plug *plug = opaque;
	struct plug_device *device = g_new0(struct plug_device, 1);

	device->id = g_strdup(id);
	device->path = g_strdup(path);
	device->state = PLUG_WAITING;
	g_ptr_array_add(plug->devices, device);
	if (plug->qmp == NULL) {
		plug_tell(device);
		return;
	}
	plug_pump(plug);
	if (device->state == PLUG_WAITING)
		vhost_pci_log(VHOST_PCI_LOG_NOTICE, "%s: waits for %s", id,
				qmp_is_ready(plug->qmp) ? "a free bus: name more with --bus"
							: "the machine's QMP socket");
}

static void
plug_unplug(void *opaque, const char *id)
{
	struct plug *plug = opaque;
	struct plug_device *device = plug_find(plug, id);

	if (device == NULL)
		return;
	device->is_unwanted = true;
	if (plug->qmp == NULL)
		vhost_pci_log(VHOST_PCI_LOG_NOTICE,
				"%s: of no use any more; unplug it by QMP: "
				"{\"execute\":\"device_del\",\"arguments\":{\"id\":\"%s\"}}",
				id, id);
	plug_pump(plug);
}

static void
plug_gone(void *opaque, const char *id)
{
	struct plug *plug = opaque;
	struct plug_device *device = plug_find(plug, id);

	if (device == NULL)
		return;
	device->is_gone = true;
	/* what the machine still has keeps its bus until DEVICE_DELETED */
	if (plug->qmp == NULL || device->state == PLUG_WAITING || device->state == PLUG_FAILED)
		plug_forget(plug, device);
}

static void
plug_attached(void *opaque, const char *id, bool attached)
{
	struct plug *plug = opaque;
	struct plug_device *device = plug_find(plug, id);

	if (device == NULL)
		return;
	device->is_attached = attached;
	/* it went with its machine, whose QMP connection was lost before */
	if (!attached && plug->qmp != NULL && !qmp_is_ready(plug->qmp)) {
		device->state = PLUG_WAITING;
		plug_forget(plug, device);
	}
}

const struct endpoint_plug_ops plug_ops = {
	.plug = plug_plug,
	.unplug = plug_unplug,
	.gone = plug_gone,
	.attached = plug_attached,
};

struct plug *
plug_create(const char *qmp_path, char *const *buses)
{
	struct plug *plug = g_new0(struct plug, 1);

	if (buses != NULL) {
		unsigned int nb = 0;

		while (buses[nb] != NULL)
			nb++;
		plug->buses = g_new0(char *, nb + 1);
		while (nb-- > 0)
			plug->buses[nb] = g_strdup(buses[nb]);
	}
	plug->devices = g_ptr_array_new_with_free_func(plug_device_free);
	if (qmp_path != NULL)
		plug->qmp = qmp_create(qmp_path, &plug_qmp_ops, plug);
	return plug;
}

void
plug_destroy(struct plug *plug)
{
	if (plug == NULL)
		return;
	qmp_destroy(plug->qmp);
	g_ptr_array_free(plug->devices, TRUE);
	g_strfreev(plug->buses);
	g_free(plug);
}

bool
plug_is_automatic(const struct plug *plug)
{
	return plug->qmp != NULL;
}
