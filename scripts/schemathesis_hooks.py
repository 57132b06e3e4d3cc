"""What is sent in place of some headers that the document allows.

An Idempotency-Key is good for one request: each gets one of its own, where it has a valid one at all. A budget of a
millisecond is allowed and ends in a time-out: each valid one is two seconds. And headers that nobody knows are no
fault of a request, so none is made of them.
"""

import re
import uuid

import schemathesis

UNKNOWN = "x-schemathesis-unknown-property"


@schemathesis.hook
def filter_case(context, case):
    return UNKNOWN not in (case.headers or {})


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.headers is None:
        case.headers = {}
    headers = case.headers
    if re.fullmatch(r"[!-~]{1,255}", str(headers.get("Idempotency-Key", ""))):
        headers["Idempotency-Key"] = str(uuid.uuid4())
    # Without one, who asks for a lock may wait half a minute.
    if re.fullmatch(r"0*[1-9][0-9]{0,5}", str(headers.get("X-Request-Timeout-Ms", "2000"))):
        headers["X-Request-Timeout-Ms"] = "2000"
