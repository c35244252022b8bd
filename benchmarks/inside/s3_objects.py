"""Put many objects with the class S3 of a tool, get them, and read them: MODULE ROOT COUNT SIZE.

Prints the seconds of each as JSON; imports are not counted.
"""

import importlib
import json
import os
import sys
import time

module, root, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
S3 = importlib.import_module(module).S3
content = os.urandom(size)
objects = [(f"object-{number:05}", content) for number in range(count)]

begin = time.perf_counter()
with S3(s3root=root) as s3:
    s3.put_many(objects)
put = time.perf_counter() - begin

begin = time.perf_counter()
with S3(s3root=root) as s3:
    found = s3.get_many([name for name, _ in objects])
    assert sum(len(one.blob) for one in found) == count * size
get = time.perf_counter() - begin

print(json.dumps({"put": put, "get": get}))
