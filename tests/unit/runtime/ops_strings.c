/* SPDX-License-Identifier: Apache-2.0
 *
 * ops_strings.c: operators on strings, the regular expressions behind one of them, and the case mapping.
 */
#include "tests/unit/runtime/model.h"

#include "runtime/ops/unicode.h"

static void concats_and_splits(void **state)
{
    (void)state;
    test_op(20, "StringConcat", "", "s[2]:a,bc | s[2]:.com,.net", "s[2]:a.com,bc.net");
    test_op(20, "StringConcat", "", "s[2]:a,b | s[1]:ß", "s[2]:aß,bß");
    test_op(20, "StringConcat", "", "s[]: | s[2]:,x", "s[2]:,x");
    test_op(20, "StringConcat", "", "s[0]: | s[1]:x", "s[0]:");
    test_op_fails(20, "StringConcat", "", "s[2]:a,b | s[3]:a,b,c", "does not broadcast");
    test_op(20, "StringSplit", "delimiter='.'", "!s[2]:a.b,c..d", "s[2,3]:a,b,,c,,d | i64[2]:2,3");
    test_op(20, "StringSplit", "", "!s[2]:  a  b ,", "s[2,2]:a,b,, | i64[2]:2,0");
    test_op(20, "StringSplit", "maxsplit=1", "!s[1]:a b c ", "s[1,2]:a,b c  | i64[1]:2");
    test_op(20, "StringSplit", "delimiter='--' maxsplit=1", "!s[1]:a--b--c", "s[1,2]:a,b--c | i64[1]:2");
    test_op(20, "StringSplit", "delimiter='-'", "!s[1]:", "s[1,1]: | i64[1]:1");
    test_op(20, "StringSplit", "", "!s[0]:", "s[0,0]: | i64[0]:");
    test_op_fails(20, "StringSplit", "maxsplit=-1", "!s[1]:a", "'maxsplit' = -1 is outside");
}

static void normalizes(void **state)
{
    (void)state;
    test_op(10, "StringNormalizer", "case_change_action='UPPER'", "s[3]:äß,ⱥ,ǆ", "s[3]:Äß,Ⱥ,Ǆ");
    test_op(10, "StringNormalizer", "case_change_action='LOWER'", "s[1,2]:ÀΣ,ЖX", "s[1,2]:àσ,жx");
    test_op(10, "StringNormalizer", "stopwords=['Monday'] is_case_sensitive=1", "!s[3]:monday,Monday,x", "s[2]:monday,x");
    test_op(10, "StringNormalizer", "stopwords=['mOnday']", "!s[3]:monday,Monday,x", "s[1]:x");
    test_op(10, "StringNormalizer", "stopwords=['ärger'] case_change_action='UPPER'", "!s[1,2]:Ärger,x", "s[1,1]:X");
    test_op(10, "StringNormalizer", "stopwords=['a']", "!s[1,1]:A", "s[1,1]:");
    test_op(10, "StringNormalizer", "case_change_action='UPPER'", "s[1]:\xff\x61", "s[1]:\xff\x41");
    test_op(10, "StringNormalizer", "", "s[0]:", "s[1]:");
    test_op_fails(10, "StringNormalizer", "", "s[2,1]:a,b", "must be [C] or [1,C]");
    test_op_fails(10, "StringNormalizer", "locale='tr_TR'", "s[1]:i", "has a case mapping of its own");
    test_op_fails(10, "StringNormalizer", "case_change_action='TITLE'", "s[1]:i", "\"TITLE\" is not supported");
}

/* Every mapping is that of the C library where it knows the code point in a UTF-8 locale is a matter of its version; these are for good. */
static void maps_case(void **state)
{
    (void)state;
    static const struct {
        uint32_t upper, lower;
    } pairs[] = {{'A', 'a'}, {0xc0, 0xe0}, {0x100, 0x101}, {0x1e9e, 0xdf}, {0x178, 0xff}, {0x10400, 0x10428}, {0x2c2f, 0x2c5f}, {0x13a0, 0xab70}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(pt_unicode_lower(pairs[i].upper), pairs[i].lower);
        if (pairs[i].upper != 0x1e9e) /* small sharp s has no simple upper case */
            assert_int_equal(pt_unicode_upper(pairs[i].lower), pairs[i].upper);
    }
    for (uint32_t code = 0; code < 0x110000; code++) {
        uint32_t upper = pt_unicode_upper(code), lower = pt_unicode_lower(code);
        assert_true(upper < 0x110000 && lower < 0x110000);
        assert_int_equal(pt_unicode_lower(lower), lower);
        assert_int_equal(pt_unicode_upper(upper), upper);
        char bytes[4];
        size_t used, n = pt_utf8_put(code, bytes);
        uint32_t back = pt_utf8_next(bytes, n, &used);
        assert_true((back == code && used == n) || (code >= 0xd800 && code < 0xe000 && back == PT_UNICODE_BAD));
    }
}

static void expect(const char *pattern, const char *text, bool match)
{
    char model[256], in[256]; /* the text is an input, because a model is lines */
    snprintf(model, sizeof model, "opset 20\nin x s[1]\ny = RegexFullMatch(x) pattern='%s'\nout y\n", pattern);
    snprintf(in, sizeof in, "s[1]:%s", text);
    test_run(model, TEXTS(in), TEXTS(match ? "b[1]:1" : "b[1]:0"));
}

static void expect_bad(const char *pattern, const char *message)
{
    char attrs[256];
    snprintf(attrs, sizeof attrs, "pattern='%s'", pattern);
    test_op_fails(20, "RegexFullMatch", attrs, "s[1]:x", message);
}

static void matches(void **state)
{
    (void)state;
    expect("www\\.[\\w.-]+\\.com", "www.google.com", true);
    expect("www\\.[\\w.-]+\\.com", "www.facebook.net", false);
    expect("", "", true);
    expect("", "a", false);
    expect("a|bc|", "bc", true);
    expect("a|bc|", "", true);
    expect("(a|b)*c", "ababc", true);
    expect("(?:ab){2}(?P<n>c)?", "abab", true);
    expect("(?:ab){2}", "ababab", false);
    expect("a{2}", "a", false);
    expect("a{0}b", "b", true);
    expect("x{1", "x{1", true);
    expect("[^a-c]+", "xyz", true);
    expect("[]a]", "]", true);
    expect("[a\\-z]", "-", true);
    expect("[[:^digit:]x]*", "abx", true);
    expect("[\\D]", "5", false);
    expect("(?i)straße", "STRAßE", true);
    expect("(?i:A)b", "aB", false);
    expect("(?i)[^k]", "K", false);
    expect(".", "é", true);
    expect("..", "é", false);
    expect(".", "\n", false);
    expect("(?s).", "\n", true);
    expect("a$\\nb", "a\nb", false);
    expect("(?m)a$\\n^b", "a\nb", true);
    expect("\\bab\\b", "ab", true);
    expect("a\\Bb", "ab", true);
    expect("a\\bb", "ab", false);
    expect("\\x41\\x{e9}\\101", "AéA", true);
    expect("\\Qa.b\\E+c", "a.bbbc", true);
    expect("\\Q)|*", ")|*", true);
    expect("\\Q\\Ea", "a", true);
    expect("(a*)*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false);
    expect("(a|aa)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true);
    expect_bad("(a", "missing )");
    expect_bad("a)", "unexpected )");
    expect_bad("*a", "nothing to repeat");
    expect_bad("a|{2}", "nothing to repeat");
    expect_bad("a**", "repetition of a repetition");
    expect_bad("a{3,2}", "bad number of repetitions");
    expect_bad("a{1001}", "bad number of repetitions");
    expect_bad("[z-a]", "bad range");
    expect_bad("[a", "missing ]");
    expect_bad("\\pL", "\\p is not supported");
    expect_bad("\\y", "unknown escape");
    expect_bad("(((a{1000}){1000}){1000}){1000}", "needs more than");
    expect_bad("(((){1000}){1000}){1000}", "repeats too much");
    expect_bad("(?z)", "unknown group or flag");
    expect_bad("a\\", "ends too early");
}

static void tfidf(void **state)
{
    (void)state;
    const char *a = "mode='TF' min_gram_length=2 max_gram_length=2 max_skip_count=0 ngram_counts=[0,4] ngram_indexes=[0,1,2,3,4,5,6] "
                    "pool_int64s=[2,3,5,4,5,6,7,8,6,7]";
    test_op(9, "TfIdfVectorizer", a, "i32[12]:1,1,3,3,3,7,8,6,7,5,6,8", "f32[7]:0,0,0,0,1,1,1");
    const char *b = "mode='TFIDF' min_gram_length=1 max_gram_length=2 max_skip_count=1 ngram_counts=[0,1] ngram_indexes=[1,0] "
                    "weights=[2.0,0.5] pool_strings=['a','a','b']";
    test_op(9, "TfIdfVectorizer", b, "s[2,3]:a,b,a,a,x,b", "f32[2,2]:0.5,4,0.5,2");
    test_op_fails(9, "TfIdfVectorizer", b, "i64[1]:1", "does not go with a pool of string");
    test_op_fails(9, "TfIdfVectorizer", "mode='TF'", "i64[1]:1", "'max_gram_length' is missing");
    test_op_fails(9, "TfIdfVectorizer",
                  "mode='TF' min_gram_length=1 max_gram_length=2 max_skip_count=0 ngram_counts=[0,9] ngram_indexes=[0] pool_int64s=[1]", "i64[1]:1",
                  "0 to 9 of 1 words are no 1-grams");
}

#define MS "com.microsoft::"

static void tokenizes(void **state)
{
    (void)state;
    test_op(1, MS "Tokenizer", "tokenexp='[a-z]+' mincharnum=2 pad_value='#' mark=0", "!s[2]:ab c def,x", "s[2,2]:ab,def,#,#");
    test_op(1, MS "Tokenizer", "separators=[' ','[.;]'] pad_value='' mark=1", "!s[1,1]:a b;c.", "s[1,1,5]:\x02,a,b,c,\x03");
    test_op(1, MS "Tokenizer", "separators=[''] pad_value='-'", "!s[2]:éa,", "s[2,2]:é,a,-,-");
    test_op(1, MS "Tokenizer", "tokenexp='a+?|b*' pad_value='-' stopwords=['bb']", "!s[1]:aabbxbbb", "s[1,3]:a,a,bbb");
    test_op(1, MS "Tokenizer", "tokenexp='\\bx' pad_value='-'", "!s[1]:x xx", "s[1,2]:x,x");
    test_op_fails(1, MS "Tokenizer", "tokenexp='a'", "s[1]:a", "'pad_value' is missing");
    test_op_fails(1, MS "Tokenizer", "pad_value=''", "s[1]:a", "needs one of the attributes tokenexp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(concats_and_splits),
        cmocka_unit_test(normalizes),
        cmocka_unit_test(maps_case),
        cmocka_unit_test(matches),
        cmocka_unit_test(tfidf),
        cmocka_unit_test(tokenizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
