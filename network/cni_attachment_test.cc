#include "network/cni_attachment.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

PodNetworkRequest Request() {
  PodNetworkRequest request;
  request.id = PodId(std::string(64, 'a'));
  request.pod_name = "web-0";
  request.pod_namespace = "shop";
  request.pod_uid = "u-1";
  request.ports = {{8080, 80, "tcp", "127.0.0.1"}};
  request.ingress_rate = 1'000'000;
  request.dns_servers = {"10.0.0.10"};
  return request;
}

CniConfigList Config() {
  return ParseCniConfig(R"({"cniVersion":"1.0.0","name":"pods","plugins":[
    {"type":"bridge","bridge":"cni0"},
    {"type":"portmap","capabilities":{"portMappings":true}},
    {"type":"bandwidth","capabilities":{"bandwidth":true,"dns":true}}]})")
      .value();
}

CniAttachment Attachment() {
  return MakeAttachment(Request(), Config(), "/run/netns/x").value();
}

Json Input(size_t plugin, absl::string_view prev) {
  const CniAttachment attachment = Attachment();
  return Json::parse(
      PluginInput(attachment, attachment.config.plugins[plugin], prev));
}

TEST(CniAttachmentTest, APluginGetsItsConfigurationWithTheListsNameAndVersion) {
  EXPECT_EQ(Input(0, ""), Json::parse(R"({"type":"bridge","bridge":"cni0",
                                "name":"pods","cniVersion":"1.0.0"})"));
}

TEST(CniAttachmentTest, APluginGetsOnlyWhatItsCapabilitiesName) {
  EXPECT_EQ(Input(1, "")["runtimeConfig"],
            Json::parse(R"({"portMappings":[{"hostPort":8080,
              "containerPort":80,"protocol":"tcp","hostIP":"127.0.0.1"}]})"));
  const Json shaped = Input(2, "")["runtimeConfig"];
  EXPECT_EQ(shaped["bandwidth"]["ingressRate"], 1'000'000);
  EXPECT_FALSE(shaped["bandwidth"].contains("egressRate"));
  EXPECT_EQ(shaped["dns"]["servers"][0], "10.0.0.10");
  EXPECT_FALSE(Input(1, "").contains("capabilities"));
}

TEST(CniAttachmentTest, TheResultSoFarGoesToTheNextPlugin) {
  EXPECT_EQ(Input(1, R"({"ips":[]})")["prevResult"],
            Json::parse(R"({"ips":[]})"));
  EXPECT_FALSE(Input(1, "").contains("prevResult"));
}

TEST(CniAttachmentTest, TheArgumentsNameThePod) {
  EXPECT_EQ(Attachment().args,
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;"
            "K8S_POD_INFRA_CONTAINER_ID=" +
                std::string(64, 'a') + ";K8S_POD_UID=u-1");
}

TEST(CniAttachmentTest, ANameThatWouldBeMoreThanOneArgumentIsRefused) {
  for (const char* name : {"a;K8S_POD_UID=b", "a=b", "a\nb"}) {
    PodNetworkRequest request = Request();
    request.pod_name = name;
    EXPECT_TRUE(absl::IsInvalidArgument(
        MakeAttachment(request, Config(), "/n").status()))
        << name;
  }
}

TEST(CniAttachmentTest, IsTheSameAfterItWasStored) {
  CniAttachment attachment = Attachment();
  attachment.result = R"({"ips":[]})";

  EXPECT_EQ(DecodeAttachment(EncodeAttachment(attachment)).value(), attachment);
}

TEST(CniAttachmentTest, ADamagedRecordIsRefused) {
  EXPECT_FALSE(DecodeAttachment("").ok());
  EXPECT_FALSE(DecodeAttachment(R"({"id":"../x"})").ok());
  EXPECT_FALSE(DecodeAttachment(R"({"id":7})").ok());
}

}  // namespace
}  // namespace podvisor
