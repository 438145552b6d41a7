"""Requests about policies: stage, apply, confirm, roll back."""

from __future__ import annotations

from typing import Any

from analysis.clock.steady import steady_time
from response.asker import Asker, Peer, check_claim
from ryu_apps.enforcement.proof_gate import ProofGate
from ryu_apps.enforcement.rollout import Answer, Rollout, answered
from ryu_apps.ipc.control_socket import Request
from ryu_apps.runtime import in_thread


def asker_of(request: Request, peer: Peer) -> Asker:
    """Who asks for a change. Raises ValueError for a name that no record should hold."""
    name = str(request["by"])
    check_claim(name)
    return Asker(name, peer)


def policy_request(
    rollout: Rollout, proof: ProofGate, request: Request, peer: Peer
) -> dict[str, Any]:
    """``stage`` or ``apply`` a kept ``version``, ``confirm`` or ``rollback``; ``by`` names who
    asks. A request that fails changes nothing. ``unproven`` says why a proof is not waited for."""
    by, now = asker_of(request, peer), steady_time()
    unproven = request.get("unproven")
    if unproven is not None:
        check_claim(unproven)
        unproven = f"unproven: {unproven}"

    def admitted(number: int) -> int:
        """Both take long for a large policy, and neither holds up the loop or the other."""
        read = in_thread(lambda: rollout.read_ahead(number))
        if unproven is None:
            proof.admit(number, steady_time())
        read()
        return number

    number = request.get("version")
    version = None if number is None else int(number)
    within = request.get("confirm_within")
    if request["do"] == "stage":
        return answered(lambda: rollout.stage(int(request["version"]), by, now))
    if request["do"] == "apply":
        seconds = None if within is None else float(within)

        def apply() -> Answer:
            number = admitted(rollout.staged() if version is None else version)
            return rollout.apply(number, by, seconds, steady_time(), unproven or "")

        return answered(apply)
    if request["do"] == "confirm":
        return answered(lambda: rollout.confirm(by, now))

    def roll_back() -> Answer:
        admitted(rollout.before() if version is None else version)
        return rollout.roll_back(version, by, steady_time(), unproven or "")

    return answered(roll_back)
