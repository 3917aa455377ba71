{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- define "pintle.selectorLabels" -}}
app.kubernetes.io/name: pintle
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- /* One that is Pintle's own wins over a common one of the same name: by them its objects are found. */ -}}
{{- define "pintle.ownLabels" -}}
{{ include "pintle.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: pintle
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "pintle.labels" -}}
{{ merge (include "pintle.ownLabels" . | fromYaml) .Values.commonLabels | toYaml }}
{{- end }}

{{- define "pintle.podLabels" -}}
{{ merge (dict "pintle.dev/role" "standby") (include "pintle.ownLabels" . | fromYaml) .Values.podLabels .Values.commonLabels | toYaml }}
{{- end }}

{{- /* (dict "own" LABELS "root" $): with those that monitoring objects are selected by */ -}}
{{- define "pintle.monitoringLabels" -}}
{{ merge .own (include "pintle.ownLabels" .root | fromYaml) .root.Values.monitoring.labels .root.Values.commonLabels | toYaml }}
{{- end }}

{{- /* (dict "image" VALUES "root" $): registry/repository:tag or @digest */ -}}
{{- define "pintle.image" -}}
{{- with .image.registry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "pintle.namespace" -}}
{{ .Values.namespace | default .Release.Namespace }}
{{- end }}

{{- define "pintle.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary "pintle-operator" "default" .Values.serviceAccount.create) }}
{{- end }}
