/* openapi.h - what the gateway understands, for programs that read OpenAPI: docs/openapi.yaml. */
#pragma once

#include "base/buf.h"

void openapi_write(struct buf *out);
