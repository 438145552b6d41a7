"""Ways through the fabric: shortest, stable, and gone with a port."""

from itertools import pairwise

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from topology.fabric import Fabric
from topology.records import Link

LINE = Fabric.of([Link(1, 3, 2, 4), Link(2, 5, 3, 6)])


def test_a_line_is_walked_end_to_end() -> None:
    assert LINE.next_ports(1) == {2: 3, 3: 3}
    assert LINE.next_ports(2) == {1: 4, 3: 5}
    assert LINE.next_ports(3) == {1: 6, 2: 6}
    assert LINE.trunks(2) == {4, 5}


def test_a_port_that_goes_down_takes_both_directions_along() -> None:
    both = Fabric.of([Link(1, 3, 2, 4), Link(2, 4, 1, 3), Link(2, 5, 3, 6)])
    assert both.without_port(2, 4) == Fabric.of([Link(2, 5, 3, 6)])


def test_a_recabled_port_forgets_its_old_neighbour() -> None:
    assert LINE.with_link(Link(1, 3, 9, 1)).next_ports(1) == {9: 3}


def test_an_unknown_switch_leads_nowhere() -> None:
    assert LINE.next_ports(77) == {}


@given(st.sets(st.tuples(st.integers(1, 6), st.integers(1, 6)).filter(lambda p: p[0] < p[1])))
def test_following_next_ports_reaches_every_reachable_switch(pairs: set[tuple[int, int]]) -> None:
    """Loops and all: each hop is one nearer, as networkx counts distance."""
    links = [Link(a, 10 + index, b, 10 + index) for index, (a, b) in enumerate(sorted(pairs))]
    fabric = Fabric.of(links)
    cable = {(each.switch, each.port): each.peer_switch for each in links} | {
        (each.peer_switch, each.peer_port): each.switch for each in links
    }
    graph = nx.Graph(sorted(pairs))
    for start in graph:
        distances = nx.single_source_shortest_path_length(graph, start)
        assert set(fabric.next_ports(start)) == set(distances) - {start}
        for goal, length in distances.items():
            at, walk = start, [start]
            while at != goal:
                at = cable[at, fabric.next_ports(at)[goal]]
                walk.append(at)
                assert len(walk) <= length + 1
            assert all(a != b for a, b in pairwise(walk))
