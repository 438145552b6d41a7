"""Ways through the fabric: shortest, stable, and gone with a port."""

from itertools import pairwise

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from topology.fabric import Fabric, cable_of
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


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(1, 6), st.integers(1, 6), st.integers(0, 1)).filter(
            lambda each: each[1] < each[2]
        ),
        max_size=25,
    )
)
def test_the_tree_spans_and_never_closes_a_circle_while_it_changes(
    steps: list[tuple[bool, int, int, int]],
) -> None:
    """Also with parallel cables, and with some switches a step behind the others."""
    fabric = Fabric()
    for plugged, one, other, second in steps:
        port = 10 * one + other + 100 * second
        link = Link(one, port, other, port)
        before = fabric
        fabric = fabric.with_link(link) if plugged else fabric.without([link])
        for tree in (fabric.tree, fabric.tree | (before.tree & _alive(fabric))):
            mixed: nx.MultiGraph[int] = nx.MultiGraph([(a, b) for a, _, b, _ in tree])
            assert not mixed or nx.is_forest(mixed)
        whole = nx.Graph([(each.switch, each.peer_switch) for each in fabric.links])
        spanned = nx.Graph([(a, b) for a, _, b, _ in fabric.tree])
        assert {frozenset(each) for each in nx.connected_components(whole)} == {
            frozenset(each) for each in nx.connected_components(spanned)
        }


def _alive(fabric: Fabric) -> set[tuple[int, int, int, int]]:
    return {cable_of(link) for link in fabric.links}


def test_a_cable_more_leaves_the_tree_as_it_is() -> None:
    ring = LINE.with_link(Link(3, 7, 1, 8))
    assert ring.tree == LINE.tree
    healed = ring.without_port(1, 3)
    assert healed.tree == {(1, 8, 3, 7), (2, 5, 3, 6)}
    assert healed.with_link(Link(1, 3, 2, 4)).tree == healed.tree


def test_a_switch_to_be_avoided_is_reached_but_not_passed_through() -> None:
    ring = Fabric.of(
        [Link(1, 12, 2, 21), Link(2, 23, 3, 32), Link(1, 14, 4, 41), Link(4, 43, 3, 34)]
    )
    assert ring.next_ports(1)[3] == 12
    assert ring.next_ports(1, avoid={2}) == {2: 12, 4: 14, 3: 14}
    assert LINE.next_ports(1, avoid={2}) == {2: 3, 3: 3}, "there is no other way"


@given(
    st.sets(st.tuples(st.integers(1, 6), st.integers(1, 6)).filter(lambda p: p[0] < p[1])),
    st.sets(st.integers(1, 6), max_size=3),
)
def test_ways_around_switches_arrive(pairs: set[tuple[int, int]], avoid: set[int]) -> None:
    links = [Link(a, 10 * a + b, b, 10 * b + a) for a, b in sorted(pairs)]
    fabric = Fabric.of(links)
    graph = nx.Graph(sorted(pairs))
    for start in graph:
        for goal in set(nx.node_connected_component(graph, start)) - {start}:
            at, walk = start, [start]
            while at != goal:
                at = fabric.next_ports(at, avoid)[goal] % 10
                walk.append(at)
                assert len(walk) <= len(graph), walk
            free = graph.subgraph(set(graph) - (avoid - {start, goal}))
            if nx.has_path(free, start, goal):
                assert not set(walk[1:-1]) & avoid
                assert len(walk) - 1 == nx.shortest_path_length(free, start, goal)
