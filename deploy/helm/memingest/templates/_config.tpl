{{/* The program's configuration, and what follows from it. */}}

{{/* A value as the program reads it. YAML has made numbers of figures, and booleans of on and off. */}}
{{- define "memingest.text" -}}
{{- if kindIs "bool" . -}}{{ ternary "true" "false" . }}
{{- else if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}{{ int64 . }}
{{- else -}}{{ toString . }}
{{- end -}}
{{- end }}

{{/* ... and as it stands in the file: in quotes where blanks or a semicolon would be taken for something else. */}}
{{- define "memingest.iniValue" -}}
{{- $text := include "memingest.text" .value -}}
{{- if and (kindIs "bool" .value) (ne .section "kafka") -}}{{- $text = ternary "on" "off" .value -}}{{- end -}}
{{- if contains "\n" $text -}}{{- fail (printf "config.%s.%s: a value has one line" .section .key) -}}{{- end -}}
{{- if regexMatch "^\\s|\\s$|^\"|^;|\\s;" $text -}}
{{- if contains "\"" $text -}}{{- fail (printf "config.%s.%s: a value with blanks at its ends or semicolons cannot have quotes in it" .section .key) -}}{{- end -}}
{{- $text = printf "\"%s\"" $text -}}
{{- end -}}
{{- $text -}}
{{- end }}

{{/* (list CONFIG FILES) as an INI file. */}}
{{- define "memingest.ini" -}}
{{- $config := deepCopy (index . 0) -}}
{{- range $file, $from := index . 1 -}}
{{- with $from.config -}}
{{- $section := regexFind "^[a-z]+" . -}}
{{- $key := trimPrefix (printf "%s." $section) . -}}
{{- if not (hasKey $config $section) -}}{{- $_ := set $config $section dict -}}{{- end -}}
{{- $_ := set (get $config $section) $key (printf "/etc/memingest/files/%s" $file) -}}
{{- end -}}
{{- end -}}
{{- range $section, $keys := $config -}}
{{- if $keys }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ include "memingest.iniValue" (dict "section" $section "key" $key "value" $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "memingest.workerIni" -}}
{{- $config := deepCopy .Values.config -}}
{{- if and .Values.staticMembership.enabled (not (hasKey $config.kafka "session.timeout.ms")) -}}
{{- $_ := set $config.kafka "session.timeout.ms" .Values.staticMembership.sessionTimeoutMs -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not (get $config.gateway "listen")) -}}
{{- $_ := set $config.gateway "listen" (printf "0.0.0.0:%s" (include "memingest.gatewayPort" .)) -}}
{{- end -}}
{{- include "memingest.ini" (list $config .Values.files) -}}
{{- end }}

{{/* The migration knows the streams, and the database by its own role. */}}
{{- define "memingest.migrateIni" -}}
{{- $config := deepCopy .Values.config -}}
{{- $config = omit $config "gateway" -}}
{{- $_ := set $config "postgres" (omit $config.postgres "dsn" "dsn_file" "password_file") -}}
{{- range $key, $value := .Values.migrate.postgres -}}
{{- $_ := set $config.postgres $key $value -}}
{{- end -}}
{{- include "memingest.ini" (list $config .Values.migrate.files) -}}
{{- end }}

{{/* "16MiB", "1GiB", 65536: bytes. */}}
{{- define "memingest.bytes" -}}
{{- $text := include "memingest.text" . -}}
{{- if not (regexMatch "^[0-9]+ *(KiB|MiB|GiB)?$" $text) -}}{{- fail (printf "%s is no size: a number with KiB, MiB or GiB" $text) -}}{{- end -}}
{{- $unit := regexFind "[KMG]" $text -}}
{{- mul (regexFind "^[0-9]+" $text | int64) (get (dict "" 1 "K" 1024 "M" 1048576 "G" 1073741824) $unit | int64) -}}
{{- end }}

{{/* "20s", "1m", "500ms": whole seconds, rounded up. */}}
{{- define "memingest.seconds" -}}
{{- $text := include "memingest.text" . -}}
{{- if not (regexMatch "^([0-9]+ *(us|ms|s|m|h|d)|0)$" $text) -}}{{- fail (printf "%s is no duration: a number with us, ms, s, m, h or d" $text) -}}{{- end -}}
{{- $us := mul (regexFind "^[0-9]+" $text | int64) (get (dict "" 1 "us" 1 "ms" 1000 "s" 1000000 "m" 60000000 "h" 3600000000 "d" 86400000000) (regexFind "[a-z]+" $text) | int64) -}}
{{- div (add $us 999999) 1000000 -}}
{{- end }}

{{/*
Bytes that a worker can need: the program, its libraries and sessions (64 MiB); all batches; one row on its way in each lane; what
librdkafka has fetched, and one answer of a broker more. Defaults are those of docs/CONFIG.md and worker/io/kafka_client.c.
*/}}
{{- define "memingest.memory" -}}
{{- $c := .Values.config -}}
{{- $batches := include "memingest.bytes" (get $c.batch "memory" | default "64MiB") -}}
{{- $row := include "memingest.bytes" (get $c.limits "max_row" | default "8MiB") -}}
{{- $lanes := get $c.postgres "lanes" | default 2 | int64 -}}
{{- $queue := mul 1024 (get $c.kafka "queued.max.messages.kbytes" | default 32768 | int64) -}}
{{- $answer := get $c.kafka "fetch.max.bytes" | default (hasKey $c.kafka "message.max.bytes" | ternary 52428800 4194304) | int64 -}}
{{- $bytes := add 67108864 ($batches | int64) (mul $lanes ($row | int64)) $queue $answer -}}
{{- printf "%dMi" (div (add $bytes 1048575) 1048576) -}}
{{- end }}

{{- define "memingest.resources" -}}
{{- $memory := dict "memory" (include "memingest.memory" .) -}}
{{- toYaml (merge (dict) .Values.resources (dict "requests" $memory "limits" $memory)) -}}
{{- end }}

{{/* A drain, and 20 seconds for the last transaction, the commit and leaving the group (docs/OPERATIONS.md). */}}
{{- define "memingest.gracePeriod" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add 20 (include "memingest.seconds" (get .Values.config.shutdown "timeout" | default "20s")) -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end }}

{{- define "memingest.httpPort" -}}
{{- $port := regexFind "[0-9]+$" .Values.config.http.listen | int -}}
{{- if or (hasPrefix "127." .Values.config.http.listen) (hasPrefix "localhost" .Values.config.http.listen) (not $port) -}}
{{- fail "config.http.listen has to be an address that the kubelet reaches, with a fixed port: 0.0.0.0:9464" -}}
{{- end -}}
{{- $port -}}
{{- end }}

{{- define "memingest.gatewayPort" -}}
{{- regexFind "[0-9]+$" (get .Values.config.gateway "listen" | default "0.0.0.0:9465") -}}
{{- end }}

{{/* Bytes that a gateway can need: the program and receipts (128 MiB), requests, and what librdkafka has of them once more. */}}
{{- define "memingest.gatewayMemory" -}}
{{- $requests := include "memingest.bytes" (get .Values.config.gateway "memory" | default "128MiB") | int64 -}}
{{- printf "%dMi" (div (add 134217728 (mul 2 $requests) 1048575) 1048576) -}}
{{- end }}

{{/* Ports of brokers and registries, as a JSON list. */}}
{{- define "memingest.serverPorts" -}}
{{- $ports := list -}}
{{- range splitList "," (get .Values.config.kafka "bootstrap.servers") -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" (trim .)) | default "9092" | int) -}}
{{- end -}}
{{- range splitList "," (get .Values.config.registry "url" | default "") -}}
{{- with urlParse (trim .) -}}
{{- if .host -}}
{{- $ports = append $ports (regexFind "[0-9]+$" (regexFind ":[0-9]+$" .host) | default (eq .scheme "https" | ternary "443" "80") | int) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end }}
