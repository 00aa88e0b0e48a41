{{/* Names and labels */}}

{{- define "memingest.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* 52 leaves room for "-migrate" and for what a StatefulSet and a Job add to the names of their pods. */}}
{{- define "memingest.fullname" -}}
{{- $name := include "memingest.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "memingest.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "memingest.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "memingest.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{/* All pods of the release: workers, migration, test. */}}
{{- define "memingest.releaseSelector" -}}
app.kubernetes.io/name: {{ include "memingest.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "memingest.workerSelector" -}}
{{ include "memingest.releaseSelector" . }}
app.kubernetes.io/component: worker
{{- end }}

{{- define "memingest.gatewaySelector" -}}
{{ include "memingest.releaseSelector" . }}
app.kubernetes.io/component: gateway
{{- end }}

{{/* Of the pods of (list $ "migrate"). No versions, so that a new chart alone does not roll them. */}}
{{- define "memingest.podLabels" -}}
{{- $root := index . 0 -}}
{{ include "memingest.releaseSelector" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: memingest
{{- with merge (dict) $root.Values.podLabels $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Of objects that belong to (list $ "migrate"). */}}
{{- define "memingest.labelsOf" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 }}
{{ include "memingest.releaseSelector" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: memingest
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "memingest.labels" -}}
{{ include "memingest.labelsOf" (list . "worker") }}
{{- end }}

{{/* (list POSTGRES FILES ENV): "yes" if one of them says where the database is. */}}
{{- define "memingest.hasDsn" -}}
{{- if or (get (index . 0) "dsn") (get (index . 0) "dsn_file") -}}yes{{- end -}}
{{- range $from := index . 1 -}}{{- if eq (default "" $from.config) "postgres.dsn_file" -}}yes{{- end -}}{{- end -}}
{{- range $env := index . 2 -}}{{- if hasPrefix "MEMINGEST_POSTGRES_DSN" $env.name -}}yes{{- end -}}{{- end -}}
{{- end }}

{{/* "yes" if there is a gateway.token_file. */}}
{{- define "memingest.hasTokens" -}}
{{- if get .Values.config.gateway "token_file" -}}yes{{- end -}}
{{- range $from := .Values.files -}}{{- if eq (default "" $from.config) "gateway.token_file" -}}yes{{- end -}}{{- end -}}
{{- end }}

{{/* What cannot be said in values.schema.json. Included by the workload, so that every render runs it. */}}
{{- define "memingest.validate" -}}
{{- if and .Values.staticMembership.enabled .Values.autoscaling.enabled -}}
{{- fail "staticMembership and autoscaling exclude each other: a static member that is scaled down keeps its partitions until its session times out. Switch one of them off." -}}
{{- end -}}
{{- if and .Values.staticMembership.enabled (kindIs "invalid" .Values.replicas) -}}
{{- fail "staticMembership needs a fixed number of replicas: an autoscaler would strand partitions." -}}
{{- end -}}
{{- if not (include "memingest.hasDsn" (list .Values.config.postgres .Values.files .Values.extraEnv)) -}}
{{- fail "the database is missing: set config.postgres.dsn, or in files one with config: postgres.dsn_file." -}}
{{- end -}}
{{- if and .Values.migrate.enabled (not (include "memingest.hasDsn" (list .Values.migrate.postgres .Values.migrate.files .Values.migrate.extraEnv))) -}}
{{- fail "the migration's own database role is missing: set migrate.postgres.dsn, or in migrate.files one with config: postgres.dsn_file." -}}
{{- end -}}
{{- if and .Values.gateway.enabled (not (include "memingest.hasTokens" .)) -}}
{{- fail "gateway.enabled, and nobody says who may write: add a file with config: gateway.token_file (docs/GATEWAY.md)." -}}
{{- end -}}
{{- $streams := list -}}
{{- range $section, $_ := .Values.config -}}
{{- if hasPrefix "stream." $section -}}{{- $streams = append $streams $section -}}{{- end -}}
{{- end -}}
{{- if not $streams -}}
{{- fail "there is no stream: keep one of config.\"stream.memory\", \"stream.pattern\" and \"stream.trajectory\", or add your own." -}}
{{- end -}}
{{- end }}

{{/* Pods */}}

{{/* The parts of a pod spec that workers, migration and test have in common. */}}
{{- define "memingest.podCommon" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "memingest.containerCommon" -}}
image: {{ include "memingest.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- include "memingest.resources" . | nindent 2 }}
{{- end }}

{{- define "memingest.env" -}}
- name: MEMINGEST_CONFIG
  value: /etc/memingest/memingest.ini
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* One folder out of many sources: (list $ NAME FILES), NAME the ConfigMap and Secret that the chart makes. */}}
{{- define "memingest.volume" -}}
{{- $root := index . 0 }}{{ $name := index . 1 }}{{ $files := index . 2 -}}
- name: config
  projected:
    defaultMode: 0440
    sources:
      - configMap:
          name: {{ $name }}
          items:
            - key: memingest.ini
              path: memingest.ini
            {{- range $schema := keys $root.Values.schemas | sortAlpha }}
            - key: {{ $schema }}
              path: schemas/{{ $schema }}
            {{- end }}
      {{- range $file, $from := $files }}
      {{- if hasKey $from "configMap" }}
      - configMap:
          name: {{ $from.configMap }}
      {{- else }}
      - secret:
          name: {{ hasKey $from "value" | ternary $name $from.secret }}
      {{- end }}
          items:
            - key: {{ hasKey $from "value" | ternary $file $from.key }}
              path: files/{{ $file }}
      {{- end }}
{{- end }}

{{/* Text values of files, for a Secret: YAML, empty if there are none. */}}
{{- define "memingest.secretData" -}}
{{- range $file, $from := . }}
{{- if hasKey $from "value" }}
{{ $file }}: {{ $from.value | b64enc | quote }}
{{- end }}
{{- end }}
{{- end }}
