"""From received parts to statistics to alerts.

``measuring`` turns parts into statistics: pure, on worker processes, in any order.
``judging`` feeds statistics to detectors: one attempt at a time, strictly by sequence.
``order`` says which snapshots may go on; ``loop`` is the thread that moves them.
"""
