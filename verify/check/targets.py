"""Several targets on one atlas, looked at one by one: of each what the files say of it alone, so that it is confirmed like an only one.

Which components are whose, and how large an error each may have, task.toml says. What certificate.json says of that has to be the same.
Behind the last layer outputs do not meet, so the network without some of them is the network in the others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...atlas.targets import parts_of_graph
from ...atlas.wanted import columns
from .described import read_out_of
from .documents import Documents, number_or_none
from .layers import Layer
from .nets import Net


def each(found: Documents) -> tuple[Documents, ...]:
    """What is said of every target alone; of a task with but one the documents as they are. `amiss` has to be asked first."""
    return tuple(_alone(found)) if found.graph.wanted else (found,)


def _alone(found: Documents) -> Iterator[Documents]:
    listed, last = found.certificate.children("targets"), len(found.plain)
    for graph, (one, place), said in zip(parts_of_graph(found.graph), columns(found.graph.wanted), listed, strict=True):
        names = {before.name: block.name for before, block in zip(found.graph.blocks, graph.blocks, strict=True)}
        sites = []
        for site in found.sites:
            target, _, node = site.name.partition("/")
            if target != one.name:
                continue
            name = graph.blocks[0].name if found.manifold else node
            final = found.manifold or site.folded or name == graph.output
            moved = tuple((layer, c - place.start) if layer == last and final else (layer, c) for layer, c in site.channels)
            sites.append(site._replace(name=name, channels=moved))
        yield found._replace(
            graph=graph,
            epsilon=float(one.epsilon),
            prefix=f"target[{one.name}].",
            layers=(*found.layers[:-1], _some(found.layers[-1], place)),
            plain=(*found.plain[:-1], _some(found.plain[-1], place)),
            sites=tuple(sites),
            read_out=None if found.manifold or said["readout"] is None else read_out_of(said.child("readout")),
            promises={names.get(block, block): promise for block, promise in found.promises.items()},
            either=frozenset(names.get(block, block) for block in found.either),
        )


def amiss(found: Documents) -> Iterator[str]:
    """What the certificate says of its targets that task.toml does not; nothing of their bounds, which its claims say."""
    listed = [*found.certificate.children("targets")] if "targets" in found.certificate else []
    wanted = found.graph.wanted
    said = [(entry.text("name"), number_or_none(entry, "epsilon")) for entry in listed]
    ours = [(one.name, float(one.epsilon)) if not isinstance(one.epsilon, str) else (one.name, None) for one in wanted]
    if said != ours or any(isinstance(one.epsilon, str) for one in wanted):
        yield f"the targets and their ε are {str(said)[:200]}, but task.toml wants {str(ours)[:200]}"
        return
    if wanted and number_or_none(found.certificate, "epsilon") != 1.0:
        yield f"ε is {found.certificate.get('epsilon')}, but errors of several targets are in units of the ε of each: it is 1"
    if wanted and any("readout" in entry if found.manifold else "readout" not in entry for entry in listed):
        yield "targets of a graph have a read-out each, and those of a task on one manifold none"
    names, last = {one.name: place for one, place in columns(wanted)}, len(found.plain)
    for site in found.sites if wanted else ():
        target, slash, _ = site.name.partition("/")
        if target not in names or bool(slash) == found.manifold:
            yield f"a site is called {site.name[:80]!r}, which does not say of which target it is"
        elif found.manifold and site.channels != tuple((last, c) for c in range(names[target].start, names[target].stop)):
            yield f"the site of target {target} has channels {str(site.channels)[:80]}, which are not those of its components"
    if found.manifold and wanted and [site.name for site in found.sites] != list(names):
        yield f"the sites are {str([site.name for site in found.sites])[:200]}, not those of the targets {', '.join(names)}"


def _some(layer: Layer, place: slice) -> Layer:
    """The layer that leaves some of its channels."""
    chosen = np.flatnonzero((layer.writes >= place.start) & (layer.writes < place.stop))

    def few(net: Net) -> Net:
        """With all of its neurons, any of which may overflow."""
        return Net.of((*net.stored[:-1], net.stored[-1].rows(chosen)))

    return layer._replace(
        nets=tuple(map(few, layer.nets)),
        writes=layer.writes[chosen] - place.start,
        carries=layer.carries[place],
        shared=None if layer.shared is None else few(layer.shared),
    )
