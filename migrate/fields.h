// The fields of a state struct, named once: from this one list come its encoding and bounded decoding (codec.h), and what
// `beam show` prints (json.h).
//
//   struct EventfdState {
//     std::uint64_t count = 0;
//     bool semaphore = false;
//   };
//   BEAM_STATE(EventfdState, 1, count, semaphore)
//
// A field that is added to the struct and not named does not compile: the names have to fit a structured binding. Order and
// meaning of the named fields are for ever; a new one goes last, with the struct's version raised and
//   BEAM_STATE_SINCE(EventfdState, new_field, 2)
// before BEAM_STATE, so that an older image leaves it at its default.
#pragma once

#include <tuple>

namespace beam::migrate {

template <typename T>
struct StateFields;  // specialised by BEAM_STATE

template <typename T>
concept State = requires { StateFields<T>::kVersion; };

template <typename T, typename Member>
struct Field {
  const char* name;
  Member T::*member;
  int since;
};

// The version of the struct that brought a field.
template <auto kMember>
inline constexpr int kFieldSince = 1;

// Calls visit(name, value, since) for each field in order.
template <State T, typename Value, typename Visit>
void for_each_field(Value& value, Visit&& visit) {
  std::apply([&](const auto&... field) { (visit(field.name, value.*field.member, field.since), ...); },
             StateFields<T>::kList);
}

#define BEAM_STATE_SINCE(Type, field, version) \
  template <>                                  \
  inline constexpr int kFieldSince<&Type::field> = version;

// One application of BEAM_FIELD_ a name; the nesting allows some 250 of them.
#define BEAM_EXPAND_(...) BEAM_EXPAND_3_(BEAM_EXPAND_3_(BEAM_EXPAND_3_(__VA_ARGS__)))
#define BEAM_EXPAND_3_(...) BEAM_EXPAND_2_(BEAM_EXPAND_2_(BEAM_EXPAND_2_(__VA_ARGS__)))
#define BEAM_EXPAND_2_(...) BEAM_EXPAND_1_(BEAM_EXPAND_1_(BEAM_EXPAND_1_(__VA_ARGS__)))
#define BEAM_EXPAND_1_(...) BEAM_EXPAND_0_(BEAM_EXPAND_0_(BEAM_EXPAND_0_(__VA_ARGS__)))
#define BEAM_EXPAND_0_(...) __VA_ARGS__
#define BEAM_PARENTHESES_ ()
#define BEAM_FIELDS_(...) __VA_OPT__(BEAM_EXPAND_(BEAM_FIELDS_NEXT_(__VA_ARGS__)))
#define BEAM_FIELDS_NEXT_(name, ...) BEAM_FIELD_(name) __VA_OPT__(, BEAM_FIELDS_AGAIN_ BEAM_PARENTHESES_(__VA_ARGS__))
#define BEAM_FIELDS_AGAIN_() BEAM_FIELDS_NEXT_
#define BEAM_FIELD_(name) \
  Field<Self, decltype(Self::name)> { #name, &Self::name, kFieldSince<&Self::name> }

#define BEAM_STATE(Type, version, ...)                                       \
  template <>                                                                \
  struct StateFields<Type> {                                                 \
    using Self = Type;                                                       \
    static constexpr int kVersion = version;                                 \
    static constexpr auto kList = std::make_tuple(BEAM_FIELDS_(__VA_ARGS__)); \
    static void every_field_is_named(Type& state_struct_itself) {            \
      [[maybe_unused]] auto& [__VA_ARGS__] = state_struct_itself;            \
    }                                                                        \
  };

}  // namespace beam::migrate
