/* SPDX-License-Identifier: Apache-2.0
 *
 * page.c: the built-in page at / and the OpenAPI document: page.html and openapi.json as they are, put into the program by the build.
 */
#include "sidecar/page_html.h"
#include "sidecar/openapi_json.h"
#include "sidecar/rest.h"

static void get_page(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    static const struct pt_http_header headers[] = {
        {{"Content-Security-Policy", 23}, {"default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'", 93}},
        {{"Cache-Control", 13}, {"no-cache", 8}}};
    (void)r;
    (void)p;
    pt_http_reply(req, 200, "text/html; charset=utf-8", headers, 2, (struct pt_str){(const char *)page_html, sizeof page_html});
}

static void get_openapi(struct pt_rest *r, struct pt_http_request *req, const struct pt_rest_params *p)
{
    (void)r;
    (void)p;
    pt_http_reply(req, 200, PT_JSON, NULL, 0, (struct pt_str){(const char *)openapi_json, sizeof openapi_json});
}

const struct pt_rest_route pt_page_routes[] = {
    {"GET", "/", get_page},
    {"GET", "/openapi.json", get_openapi},
};
const size_t pt_page_route_count = sizeof pt_page_routes / sizeof pt_page_routes[0];
